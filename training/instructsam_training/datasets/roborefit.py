"""RoboRefIt as https://github.com/luyh20/VL-Grasp releases it: instructions to a robot, RGB-D images.

    <root>/final_dataset/{train,testA,testB}/{image,depth}/0000000.png
    <root>/final_dataset/train/mask/0000000/*.png
    <root>/final_dataset/train/roborefit_train.json        older: refindoor_train_with_scene.json

A record is one expression; its paths have backslashes and begin with `final_dataset`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase
from instructsam_training.datasets.io.files import find, load_list, read_size_hw, text_of
from instructsam_training.datasets.io.segmentation import clip_box, is_empty
from instructsam_training.datasets.source import Source

SPLITS = ('train', 'testA', 'testB')
FOLDER = 'final_dataset'
YES_NO_QUESTION = re.compile(r'(?:will|would|can|could)\b', re.IGNORECASE)


def read_roborefit(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a split: one per image, one instruction per expression, with its box clipped to the image.

    Args:
        root: `final_dataset`, or the folder that holds it.
        split: train, testA or testB.
        report: collects the expressions that cannot be read.
        images: folder that holds `final_dataset` with the images; `root` or its parent if not given.

    Raises:
        ConfigError: a file or folder is missing or damaged, or the split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    folder = find(root, f'{FOLDER}/{split}', split)
    file = find(folder, f'roborefit_{split}.json', f'refindoor_{split}_with_scene.json')
    # Expressions of one image are spread over the file; the image is one sample.
    by_image: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, record in enumerate(load_list(file)):
        if isinstance(record, dict) and isinstance(record.get('rgb_path'), str):
            by_image.setdefault(_posix(record['rgb_path']), []).append((index, record))
        else:
            report.skip(file, index, 'expected an expression with rgb_path')
    return _samples(file, by_image, report, images or folder.parent.parent)


def normalize_question(text: str) -> str:
    """Return an expression as in the public evaluation: first letter capital, question mark or period at the end."""
    text = text.strip()
    # capitalize() would make the other letters lower case.
    text = text[:1].upper() + text[1:]
    if YES_NO_QUESTION.match(text):
        return text if text.endswith('?') else text.rstrip('. ') + '?'
    return text if text.endswith(('.', '?', '!')) else text + '.'


def _samples(
    file: Path, by_image: Mapping[str, list[tuple[int, Mapping[str, Any]]]], report: SkipReport, root: Path
) -> Iterator[Sample]:
    for name, records in by_image.items():
        annotations: list[Annotation] = []
        masks: dict[str, Rle] = {}
        # The records have no size; the image is opened once for all of its expressions.
        size_hw = None
        for index, record in records:
            try:
                size_hw = size_hw or read_size_hw(root / name)
                annotations.append(_annotation(record, size_hw, root, masks))
            except ValueError as error:
                report.skip(file, index, str(error))
        if size_hw is None or not annotations:
            continue
        # Expressions of one image share its depth and scene.
        index, first = records[0]
        depth = first.get('depth_path')
        yield Sample(
            root / name,
            size_hw,
            tuple(annotations),
            depth=root / _posix(depth) if isinstance(depth, str) else None,
            source=f'{file}[{index}]',
            id=Path(name).stem,
            scene=str(first.get('scene') or ''),
        )


def _annotation(record: Mapping[str, Any], size_hw: tuple[int, int], root: Path, masks: dict[str, Rle]) -> Annotation:
    """Parse one expression. `masks` caches the masks of the image by file name: several expressions may share one."""
    text = normalize_question(text_of(record, 'text'))
    # The first release has no classes; there the expression is the only name of the target.
    phrase = clean_phrase(text_of(record, 'class', 'text'))
    box_xyxy = clip_box(record.get('bbox'), size_hw)
    name = _posix(text_of(record, 'mask_path'))
    # Each PNG is decoded once.
    if name not in masks:
        masks[name] = _read_mask(root / name, size_hw)
    return Annotation('sentence', text, phrase, (masks[name],), box_xyxy=box_xyxy)


def _read_mask(file: Path, size_hw: tuple[int, int]) -> Rle:
    """Read a mask image; pixels with any channel above 0 belong to the target."""
    try:
        with Image.open(file) as image:
            values = np.asarray(image.convert('RGB'))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'mask_path: expected an image, cannot read {file}: {error}') from None
    if values.shape[:2] != size_hw:
        raise ValueError(f'{file}: expected the size {size_hw} of the image, got {values.shape[:2]}')
    # (H, W, 3) to (H, W).
    rle = encode_rle((values > 0).max(axis=2))
    if is_empty(rle):
        raise ValueError(f'{file}: expected at least one pixel of the target, found none')
    return rle


def _posix(path: str) -> str:
    """A path with slashes; the release has Windows paths."""
    return path.replace('\\', '/')


SOURCES = {'roborefit': Source(read_roborefit, SPLITS)}
