"""Divides the images of a COCO file into a training and a validation part."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically

AUGMENTED = re.compile(r'\.rf\.[0-9A-Za-z]+(?=\.\w+$)')
"""What Roboflow adds to the names of the augmented copies of one image."""


def choose_validation(content: Mapping[str, Any], share: float, seed: int) -> frozenset[str]:
    """Return the ids of the images for validation, as text.

    Copies of one image, under several ids or augmented by Roboflow, are in the same part.

    Args:
        content: of a COCO file.
        share: of the annotated images, above 0 and below 1.
        seed: of the choice.

    Raises:
        ConfigError: the share is out of range, or there are fewer than two annotated images.
    """
    if not 0 < share < 1:
        raise ConfigError(f'--val-share: expected a number above 0 and below 1, got {share:g}')
    annotated = {str(entry['image_id']) for entry in content['annotations'] if 'image_id' in entry}
    copies: dict[str, list[str]] = {}
    for entry in content['images']:
        if str(entry.get('id')) in annotated:
            copies.setdefault(AUGMENTED.sub('', str(entry.get('file_name'))), []).append(str(entry['id']))
    if len(copies) < 2:
        raise ConfigError(f'--val-share: expected at least two annotated images, found {len(copies)}')
    names = sorted(copies)
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return frozenset(number for name in Random(seed).sample(names, count) for number in copies[name])


def write_part(
    file: Path, content: Mapping[str, Any], ids: frozenset[str], name_of: Callable[[Mapping[str, Any]], str]
) -> Path:
    """Write the images of these ids with their annotations as a COCO file, for `instructsam-eval coco`.

    Args:
        file: replaced if it exists.
        content: of the whole file.
        ids: of the images.
        name_of: returns the name of a category that is asked for.
    """
    part = {
        **content,
        'images': [entry for entry in content['images'] if str(entry.get('id')) in ids],
        'annotations': [entry for entry in content['annotations'] if str(entry.get('image_id')) in ids],
        'categories': [{**category, 'name': name_of(category)} for category in content['categories']],
    }
    with write_atomically(file) as draft:
        draft.write_text(json.dumps(part), encoding='utf-8')
    return file
