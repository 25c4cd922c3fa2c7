"""MMR (ICLR 2025, https://github.com/jdg900/MMR): questions about several objects and parts, none of which they name.

    <root>/MMR/MMR_train.json, MMR_val.json, MMR_test_{mixed,obj_only,part_only}.json
    <root>/images/train2017/000000000009.jpg        images of COCO 2017, where `file_name` says

A record has lists of equal lengths: `questions`, and in `answers` the annotations that each asks for. One sample per
image, one annotation per question; each category of its targets is a phrase of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, clean_phrase, named
from instructsam_training.datasets.io.files import find, load_list, parse_size_hw, text_of
from instructsam_training.datasets.io.segmentation import instance_rle
from instructsam_training.datasets.source import Source

SPLITS = ('train', 'val', 'test_mixed', 'test_obj_only', 'test_part_only')
IMAGE_FOLDERS = ('images', 'refer_seg/images/mscoco/images', 'coco', 'MMR')


def read_mmr(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a split.

    Args:
        root: folder that holds the data set's folder, or this folder.
        split: one of `SPLITS`.
        report: collects the records and questions that cannot be read.
        images: folder of the images; that of the release if not given.

    Raises:
        ConfigError: the file is missing or damaged, or the split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f'split: expected one of {", ".join(SPLITS)}, got {split!r}')
    file = find(root, f'MMR/MMR_{split}.json', f'MMR_{split}.json')
    folder = images or find(root, *IMAGE_FOLDERS, '.')
    for index, record in enumerate(load_list(file)):
        try:
            if not isinstance(record, dict):
                raise ValueError(f'expected an object, got {type(record).__name__}')
            image, size_hw = folder / text_of(record, 'file_name'), parse_size_hw(record)
            annotations = tuple(_annotations(record, size_hw, report, file, index))
        except ValueError as error:
            report.skip(file, index, str(error))
            continue
        if annotations:
            source = f'{file}[{index}]'
            yield Sample(image, size_hw, annotations, source=source, id=str(record.get('image_id', index)))


def _annotations(
    record: Mapping[str, Any], size_hw: tuple[int, int], report: SkipReport, file: Path, index: int
) -> Iterator[Annotation]:
    questions, answers = _list(record, 'questions'), _list(record, 'answers')
    # Where one of them lacks an entry, all after it would belong to others.
    if len(questions) != len(answers):
        raise ValueError(f'expected as many answers as questions, got {len(answers)} and {len(questions)}')
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        try:
            yield _annotation(question, answer, size_hw)
        except ValueError as error:
            report.skip(file, f'{index}.questions.{number}', str(error))


def _list(record: Mapping[str, Any], key: str) -> list[Any]:
    value = record.get(key)
    if not isinstance(value, list):
        raise ValueError(f'{key}: expected a list, got {type(value).__name__}')
    return value


def _annotation(question: Any, answer: Any, size_hw: tuple[int, int]) -> Annotation:
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f'expected a question, got {question!r}')
    if not isinstance(answer, list) or not answer or not all(isinstance(target, dict) for target in answer):
        raise ValueError(f'answers: expected a list of annotations, got {str(answer)[:60]}')
    by_name: dict[str, list[Rle]] = {}
    for target in answer:
        masks = by_name.setdefault(spoken_name(text_of(target, 'category_name', 'name')), [])
        rle = instance_rle(target.get('segmentation'), size_hw)
        # A question may list one target twice.
        if rle not in masks:
            masks.append(rle)
    (first, masks), *others = by_name.items()
    more = tuple(named(name, tuple(found)) for name, found in others)
    return Annotation('sentence', question, first, tuple(masks), additional_phrases=more, level='complex')


def spoken_name(category: str) -> str:
    """Return the name of a category of PACO as a phrase: 'mug_(drink):handle' becomes 'handle of mug'."""
    words = [' '.join(part.partition('_(')[0].replace('_', ' ').split()) for part in category.split(':')]
    return clean_phrase(' of '.join(reversed([part for part in words if part])))


SOURCES = {'mmr': Source(read_mmr, SPLITS)}
