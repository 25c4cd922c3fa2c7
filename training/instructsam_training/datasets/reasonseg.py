"""ReasonSeg as https://github.com/dvlab-research/LISA releases it: implicit queries, one mask per image.

    <root>/{train,val,test}/{4835_ed4b.jpg, 4835_ed4b.json}
    <root>/explanatory/train.json       more queries about training images, `{"image", "query", "outputs"}`
    <root>/categories.json              of your own: short names of the targets, `{"4835_ed4b": "camera lens"}`

The release has masks but no short phrase that names the target. `reason_seg_cat` takes the phrases from
categories.json; where those of the authors of InstructSAM come from is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.files import find, load_json, load_list, read_size_hw, text_of
from instructsam_training.datasets.source import Source

SPLITS = ('train', 'val', 'test')
TARGET, IGNORE = 1, 255


def read_reasonseg(
    root: Path,
    split: str,
    report: SkipReport,
    images: Path | None = None,
    *,
    phrase: str = 'target',
    first_text_only: bool | None = None,
    with_categories: bool = False,
) -> Iterator[Sample]:
    """Yield the samples of a split: one per image, one annotation per text.

    Sentences become instructions, other texts become names. An image without polygons has no target: the test split has
    two of them (LISA, issue 157), and the official numbers include them.

    Args:
        root: folder that holds the splits' folders.
        split: train, val or test.
        report: collects the images that cannot be read.
        images: folder of the images; beside their JSON files if not given.
        phrase: answer to the instructions, because the release has none.
        first_text_only: use only the first text of an image; if not given, as LISA does: for val and test only.
        with_categories: take the answers from categories.json; images without one are skipped and named.

    Raises:
        ConfigError: the folder is missing or empty, or the split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    folder = find(root, split, f'ReasonSeg/{split}', f'reason_seg/ReasonSeg/{split}')
    files = sorted(folder.glob('*.json'))
    if not files:
        raise ConfigError(f'{folder}: expected a JSON file beside each image, found none')
    # An image without its JSON file would be missed silently.
    for stem in sorted({image.stem for image in folder.glob('*.jpg')} - {file.stem for file in files}):
        report.skip(folder / f'{stem}.jpg', 0, f'expected {stem}.json beside the image, found none')
    # LISA trains on all texts of an image and evaluates on the first.
    only_first = split != 'train' if first_text_only is None else first_text_only
    more = _explanatory(folder.parent / 'explanatory' / 'train.json', files, report) if split == 'train' else {}
    if with_categories:
        phrases: Mapping[str, str] | str = _categories(find(root, 'categories.json'))
    else:
        phrases = phrase
    return _samples(files, images or folder, report, phrases, only_first, more)


def _samples(
    files: list[Path],
    images: Path,
    report: SkipReport,
    phrases: Mapping[str, str] | str,
    only_first: bool,
    more: Mapping[str, list[str]],
) -> Iterator[Sample]:
    for file in files:
        image = images / f'{file.stem}.jpg'
        try:
            record = _load(file)
            size_hw = read_size_hw(image)
            values = draw_polygons(record.get('shapes'), size_hw)
            texts = [*_texts(record, only_first), *more.get(file.stem, ())]
            # One phrase for all images, or that of the image in categories.json.
            phrase = phrases if isinstance(phrases, str) else text_of(phrases, file.stem)
            # One mask per image: all target polygons together.
            masks = (encode_rle(values == TARGET),) if (values == TARGET).any() else ()
            ignore = encode_rle(values == IGNORE) if (values == IGNORE).any() else None
            annotations = tuple(
                # A query of `explanatory` may repeat a text of the file.
                _annotation(text, record['is_sentence'], phrase, masks)
                for text in dict.fromkeys(texts)
            )
        except ValueError as error:
            report.skip(file, 0, str(error))
            continue
        yield Sample(image, size_hw, annotations, source=str(file), id=file.stem, ignore=ignore)


def _categories(file: Path) -> Mapping[str, str]:
    """Names of the targets by the image's stem."""
    content = load_json(file)
    if not isinstance(content, dict):
        raise ConfigError(
            f'{file}: expected names by image, {{"4835_ed4b": "camera lens"}}, got {type(content).__name__}'
        )
    return content


def draw_polygons(shapes: Any, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the polygons of an image with their outlines, the largest first, so that small ones stay visible.

    Args:
        shapes: `{'label', 'points'}` each; label `flag` is skipped, labels that contain `ignore` mark pixels to ignore.
        size_hw: height and width of the image.

    Returns:
        uint8 (H, W): TARGET, IGNORE, or 0.

    Raises:
        ValueError: a shape is not a polygon with a label.
    """
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ValueError(f'shapes: expected a list of polygons, got {type(shapes).__name__}')
    polygons = []
    for shape in shapes:
        label = text_of(shape, 'label').lower()
        if label != 'flag':
            # (N, 2), x and y.
            points = _points(shape.get('points'))
            # Area in drawn pixels, as in LISA.
            area = int(_fill(np.zeros(size_hw, dtype=np.uint8), points, 1).sum())
            polygons.append((area, points, IGNORE if 'ignore' in label else TARGET))
    values = np.zeros(size_hw, dtype=np.uint8)
    # Later polygons overwrite earlier ones.
    for _, points, value in sorted(polygons, key=lambda polygon: -polygon[0]):
        _fill(values, points, value)
    return values


def _fill(values: NDArray[np.uint8], points: NDArray[np.int32], value: int) -> NDArray[np.uint8]:
    # `fillPoly` includes the outline, which LISA draws in a second call.
    cv2.fillPoly(values, [points], color=value)
    return values


def _points(points: Any) -> NDArray[np.int32]:
    """Points as pixels, int32 (N, 2), rounded towards zero as in LISA."""
    try:
        pixels = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pixels = np.empty(0)
    if pixels.ndim != 2 or pixels.shape[1] != 2 or not np.isfinite(pixels).all():
        raise ValueError(f'points: expected a list of [x, y], got {str(points)[:60]}')
    # cv2 draws in fixed-point numbers with 16 fraction bits; larger coordinates may overflow.
    return np.clip(pixels, -(2**15), 2**15).astype(np.int32)


def _load(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError:
        # A few files of the release are not UTF-8.
        text = content.decode('cp1252')
    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(record.get('is_sentence'), bool):
        raise ValueError('expected an object with is_sentence, text and shapes')
    return record


def _texts(record: Mapping[str, Any], only_first: bool) -> list[str]:
    texts = record.get('text')
    # One text may stand in place of a list.
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f'text: expected a list of texts, got {texts!r}')
    return texts[:1] if only_first else texts


def _annotation(text: str, is_sentence: bool, phrase: str, masks: tuple[Rle, ...]) -> Annotation:
    # A short text names the target with its attributes: a simple instruction (SAM3-I).
    if not is_sentence:
        return replace(named(text, masks), level='simple')
    return Annotation('sentence', text, phrase, masks, level='complex')


def _explanatory(file: Path, files: list[Path], report: SkipReport) -> dict[str, list[str]]:
    """Additional queries by the image's stem. Their long answers are not used: an answer is a short phrase here."""
    if not file.is_file():
        return {}
    known_stems = {known.stem for known in files}
    questions: dict[str, list[str]] = {}
    for index, record in enumerate(load_list(file)):
        try:
            if not isinstance(record, dict):
                raise ValueError(f'expected an object, got {type(record).__name__}')
            stem, query = Path(text_of(record, 'image')).stem, text_of(record, 'query')
            if stem not in known_stems:
                raise ValueError(f'expected an image of the training split, got {stem}')
            questions.setdefault(stem, []).append(query)
        except ValueError as error:
            report.skip(file, index, str(error))
    return questions


SOURCES = {
    'reasonseg': Source(read_reasonseg, SPLITS),
    'reason_seg_cat': Source(partial(read_reasonseg, with_categories=True), SPLITS),
}
