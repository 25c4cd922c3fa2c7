"""ReasonSeg as https://github.com/dvlab-research/LISA releases it: questions that need thought, one mask a picture.

    <root>/{train,val,test}/{4835_ed4b.jpg, 4835_ed4b.json}
    <root>/explanatory/train.json       more questions about training pictures, `{"image", "query", "outputs"}`

The release says what to cut out, but has no short answer that names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.files import find, load_list, picture_size, text_of

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
) -> Iterator[Sample]:
    """The samples of a split: one a picture, one annotation a text.

    Texts that are sentences become instructions, others names. A picture without polygons has no target: two of the
    test split are so (LISA, issue 157), and the official numbers count them.

    Args:
        root: the folder that holds the splits' folders.
        split: train, val or test.
        report: gets the pictures that cannot be read.
        images: folder of the pictures; beside their JSON files if not given.
        phrase: what answers the instructions, since the release names nothing.
        first_text_only: leave out all texts but the first; if not given, as LISA does, so for val and test alone.

    Raises:
        ConfigError: the folder is missing or empty, or the split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    folder = find(root, split, f'ReasonSeg/{split}', f'reason_seg/ReasonSeg/{split}')
    files = sorted(folder.glob('*.json'))
    if not files:
        raise ConfigError(f'{folder}: expected a JSON file beside each picture, found none')
    only_first = split != 'train' if first_text_only is None else first_text_only
    more = _explanatory(folder.parent / 'explanatory' / 'train.json', files, report) if split == 'train' else {}
    return _samples(files, images or folder, report, phrase, only_first, more)


def _samples(
    files: list[Path], images: Path, report: SkipReport, phrase: str, only_first: bool, more: Mapping[str, list[str]]
) -> Iterator[Sample]:
    for file in files:
        image = images / f'{file.stem}.jpg'
        try:
            record = _load(file)
            size_hw = picture_size(image)
            values = draw(record.get('shapes'), size_hw)
            texts = [*_texts(record, only_first), *more.get(file.stem, ())]
            masks = (encode_rle(values == TARGET),) if (values == TARGET).any() else ()
            ignore = encode_rle(values == IGNORE) if (values == IGNORE).any() else None
            annotations = tuple(
                _annotation(text, record['is_sentence'], phrase, masks) for text in dict.fromkeys(texts)
            )
        except ValueError as error:
            report.skip(file, 0, str(error))
            continue
        yield Sample(image, size_hw, annotations, source=str(file), id=file.stem, ignore=ignore)


def draw(shapes: Any, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The polygons of a picture, largest first, so that small ones lie on top; outlines belong to them.

    Args:
        shapes: `{'label', 'points'}` each; `flag` means nothing, a label with `ignore` in it pixels that do not count.
        size_hw: height and width of the picture.

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
            points = _points(shape.get('points'))
            area = int(_fill(np.zeros(size_hw, dtype=np.uint8), points, 1).sum())
            polygons.append((area, points, IGNORE if 'ignore' in label else TARGET))
    values = np.zeros(size_hw, dtype=np.uint8)
    for _, points, value in sorted(polygons, key=lambda polygon: -polygon[0]):
        _fill(values, points, value)
    return values


def _fill(values: NDArray[np.uint8], points: NDArray[np.int32], value: int) -> NDArray[np.uint8]:
    # The outline, which LISA draws by itself, is filled too.
    cv2.fillPoly(values, [points], color=value)
    return values


def _points(points: Any) -> NDArray[np.int32]:
    """Points as pixels, int32 (N, 2), towards zero as LISA does it."""
    try:
        pixels = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pixels = np.empty(0)
    if pixels.ndim != 2 or pixels.shape[1] != 2 or not np.isfinite(pixels).all():
        raise ValueError(f'points: expected a list of [x, y], got {str(points)[:60]}')
    return np.clip(pixels, -(2**15), 2**15).astype(np.int32)


def _load(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError:
        text = content.decode('cp1252')
    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(record.get('is_sentence'), bool):
        raise ValueError('expected an object with is_sentence, text and shapes')
    return record


def _texts(record: Mapping[str, Any], only_first: bool) -> list[str]:
    texts = record.get('text')
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f'text: expected a list of texts, got {texts!r}')
    return texts[:1] if only_first else texts


def _annotation(text: str, is_sentence: bool, phrase: str, masks: tuple[Rle, ...]) -> Annotation:
    return Annotation('sentence', text, phrase, masks) if is_sentence else named(text, masks)


def _explanatory(file: Path, files: list[Path], report: SkipReport) -> dict[str, list[str]]:
    """The additional questions by the picture's stem. Their long answers are left out: an answer here is a name."""
    if not file.is_file():
        return {}
    pictures = {known.stem for known in files}
    questions: dict[str, list[str]] = {}
    for index, record in enumerate(load_list(file)):
        try:
            if not isinstance(record, dict):
                raise ValueError(f'expected an object, got {type(record).__name__}')
            stem, query = Path(text_of(record, 'image')).stem, text_of(record, 'query')
            if stem not in pictures:
                raise ValueError(f'expected a picture of the training split, got {stem}')
            questions.setdefault(stem, []).append(query)
        except ValueError as error:
            report.skip(file, index, str(error))
    return questions
