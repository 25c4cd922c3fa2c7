"""RoboRefIt as https://github.com/luyh20/VL-Grasp releases it: instructions to a robot, with depth.

    <root>/final_dataset/{train,testA,testB}/{image,depth}/0000000.png
    <root>/final_dataset/train/mask/0000000/*.png
    <root>/final_dataset/train/roborefit_train.json        older: refindoor_train_with_scene.json

A record is one expression; paths have back-slashes and begin with `final_dataset`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase
from instructsam_training.datasets.io.files import find, load_list, picture_size, text_of
from instructsam_training.datasets.io.segmentation import clip_box, is_empty

SPLITS = ('train', 'testA', 'testB')
FOLDER = 'final_dataset'
POLAR = re.compile(r'(?:will|would|can|could)\b', re.IGNORECASE)
MILLIMETERS = 1000.0


def read_roborefit(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """The samples of a split: one a picture, one instruction an expression, each with its box, cut at the borders.

    Args:
        root: `final_dataset`, or the folder that holds it.
        split: train, testA or testB.
        report: gets the expressions that cannot be read.
        images: folder that holds `final_dataset` with the pictures; `root` or the folder above if not given.

    Raises:
        ConfigError: a file or folder is missing or damaged, or the split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    folder = find(root, f'{FOLDER}/{split}', split)
    file = find(folder, f'roborefit_{split}.json', f'refindoor_{split}_with_scene.json')
    pictures: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, record in enumerate(load_list(file)):
        if isinstance(record, dict) and isinstance(record.get('rgb_path'), str):
            pictures.setdefault(_posix(record['rgb_path']), []).append((index, record))
        else:
            report.skip(file, index, 'expected an expression with rgb_path')
    return _samples(file, pictures, report, images or folder.parent.parent)


def read_depth(file: Path) -> NDArray[np.float32]:
    """A depth picture of 16 bits, in millimeters.

    Returns:
        float32 (H, W): meters; NaN where nothing was measured, which the file has as 0.

    Raises:
        ValueError: there is no such file, it is damaged, or it is not of 16 bits and one channel.
    """
    try:
        with Image.open(file) as image:
            mode, depth = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{file}: expected a depth picture, cannot read it: {error}') from None
    if not mode.startswith('I') or depth.ndim != 2:
        raise ValueError(f'{file}: expected 16 bits of depth, one channel, got a picture of mode {mode}')
    depth_m: NDArray[np.float32] = depth.astype(np.float32) / np.float32(MILLIMETERS)
    depth_m[depth == 0] = np.nan
    return depth_m


def normalize_question(text: str) -> str:
    """An expression as the public evaluation asks it: a capital first, then a question mark or a full stop last."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    if POLAR.match(text):
        return text if text.endswith('?') else text.rstrip('. ') + '?'
    return text if text.endswith(('.', '?', '!')) else text + '.'


def _samples(
    file: Path, pictures: Mapping[str, list[tuple[int, Mapping[str, Any]]]], report: SkipReport, root: Path
) -> Iterator[Sample]:
    for name, records in pictures.items():
        annotations: list[Annotation] = []
        masks: dict[str, Rle] = {}
        size_hw = None
        for index, record in records:
            try:
                size_hw = size_hw or picture_size(root / name)
                annotations.append(_annotation(record, size_hw, root, masks))
            except ValueError as error:
                report.skip(file, index, str(error))
        if size_hw is None or not annotations:
            continue
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
    """One expression. `masks` keeps those of the picture that are read: several expressions share one."""
    text = normalize_question(text_of(record, 'text'))
    # The class came with a later release; without it the expression is the only name there is.
    phrase = clean_phrase(text_of(record, 'class', 'text'))
    box_xyxy = clip_box(record.get('bbox'), size_hw)
    name = _posix(text_of(record, 'mask_path'))
    if name not in masks:
        masks[name] = _read_mask(root / name, size_hw)
    return Annotation('sentence', text, phrase, (masks[name],), box_xyxy=box_xyxy)


def _read_mask(file: Path, size_hw: tuple[int, int]) -> Rle:
    """The mask of a picture: wherever any channel is not 0."""
    try:
        with Image.open(file) as image:
            values = np.asarray(image.convert('RGB'))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'mask_path: expected a picture, cannot read {file}: {error}') from None
    if values.shape[:2] != size_hw:
        raise ValueError(f'{file}: expected the size {size_hw} of the picture, got {values.shape[:2]}')
    rle = encode_rle((values > 0).max(axis=2))
    if is_empty(rle):
        raise ValueError(f'{file}: expected at least one pixel of the target, found none')
    return rle


def _posix(path: str) -> str:
    """A path of the release, which was made on Windows."""
    return path.replace('\\', '/')
