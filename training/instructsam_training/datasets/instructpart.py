"""InstructPart (ACL 2025, https://github.com/zifuwan/InstructPart): parts of objects, and tasks that need them.

    <root>/InstructPart/train/train1800/{data_train.json, images, masks}    and train1200, train600, train200
    <root>/InstructPart/test/{data_test.json, images, masks}
    images/photo-<object>-<part>.jpg, masks/photo-<object>-<part>.png       the files of a part; blanks are underscores

A part has six texts: two tasks, which name neither the part nor the object (complex), two sentences that name both, and
two names, the second of which adds the affordance (simple). The first name is the concept. One sample per part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, LevelName, Sample, SkipReport, clean_phrase
from instructsam_training.datasets.io.files import find, load_list, read_size_hw, text_of
from instructsam_training.datasets.source import Source

SPLITS = ('train', 'train200', 'train600', 'train1200', 'train1800', 'test', 'all')
LEVELS: tuple[LevelName, ...] = ('complex', 'complex', 'simple', 'simple', 'concept', 'simple')
"""Level of each of the six texts of a part."""
NAME = 4
"""Which of them is the name of the part, 'handle of the cup'."""
MASK_SUFFIXES = ('.png', '.jpg')


def read_instructpart(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a split.

    Args:
        root: folder that holds the data set's folder, or this folder.
        split: train is train1800, which contains the smaller ones.
        report: collects the parts that cannot be read.
        images: folder of the images; that of the release if not given.

    Raises:
        ConfigError: the folder is missing or damaged, or the split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    size = 'train1800' if split == 'train' else split
    place = f'train/{size}' if split.startswith('train') else split
    prefixes = ('InstructPart/', 'instructpart_part/InstructPart/', '')
    folder = find(root, *(f'{prefix}{place}' for prefix in prefixes))
    file = find(folder, f'data_{"train" if split.startswith("train") else split}.json')
    for index, entry in enumerate(load_list(file)):
        parts = entry.get('part_list') if isinstance(entry, dict) else None
        if not isinstance(parts, list) or not isinstance(entry.get('image_path'), str):
            report.skip(file, index, 'expected an object with image_path and part_list')
            continue
        for number, part in enumerate(parts):
            try:
                yield _sample(entry['image_path'], part, folder, images or folder / 'images', f'{file}[{index}]')
            except ValueError as error:
                report.skip(file, f'{index}.part_list.{number}', str(error))


def _sample(photo: str, part: Any, folder: Path, images: Path, source: str) -> Sample:
    if not isinstance(part, dict):
        raise ValueError(f'expected an object, got {type(part).__name__}')
    stem = '-'.join([Path(photo).stem, *(text_of(part, key).replace(' ', '_') for key in ('object', 'part'))])
    image = images / f'{stem}.jpg'
    size_hw = read_size_hw(image)
    mask = _read_mask(folder / 'masks', stem, size_hw)
    return Sample(image, size_hw, tuple(_annotations(part, mask)), source=source, id=stem)


def _annotations(part: Mapping[str, Any], mask: Rle) -> Iterator[Annotation]:
    texts = part.get('instruction')
    if not isinstance(texts, list) or len(texts) != len(LEVELS) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'instruction: expected {len(LEVELS)} texts, got {str(texts)[:60]!r}')
    phrase = clean_phrase(texts[NAME])
    for text, level in zip(texts, LEVELS, strict=True):
        if level == 'concept':
            yield Annotation('phrase', text, phrase, (mask,), level=level)
        else:
            yield Annotation('sentence', text, phrase, (mask,), level=level, concept=phrase)


def _read_mask(folder: Path, stem: str, size_hw: tuple[int, int]) -> Rle:
    """Read a mask, an image whose part is not black; JPEG makes other gray values at its edges."""
    file = next((each for suffix in MASK_SUFFIXES if (each := folder / f'{stem}{suffix}').is_file()), None)
    if file is None:
        names = ' or '.join(f'{stem}{suffix}' for suffix in MASK_SUFFIXES)
        raise ValueError(f'expected a mask {names} in {folder}, found none')
    values = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if values is None or values.shape != size_hw:
        found = 'no image' if values is None else f'{values.shape[0]} x {values.shape[1]}'
        raise ValueError(f'{file}: expected a mask of {size_hw[0]} x {size_hw[1]} (height x width), found {found}')
    # Masks are 0 and 1, or 0 and 255.
    mask = values > values.max() / 2
    if not mask.any():
        raise ValueError(f'{file}: expected at least one pixel of the part, found none')
    return encode_rle(np.ascontiguousarray(mask))


SOURCES = {'instructpart': Source(read_instructpart, SPLITS)}
