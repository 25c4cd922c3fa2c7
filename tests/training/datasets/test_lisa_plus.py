"""LISA++: questions with reasoning, and names of instances."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.registry import SOURCES

LEFT, RIGHT = [[0, 0], [2, 0], [2, 4], [0, 4]], [[4, 0], [6, 0], [6, 4], [4, 4]]
MIDDLE = np.zeros((4, 6), dtype=bool)
MIDDLE[:, 2:4] = True
INFO = {'1': LEFT, '2': [RIGHT], '3': encode_rle(MIDDLE), '4': {'polygon': [LEFT]}}


def record(answer: str, **changes: Any) -> dict[str, Any]:
    fields = {'image_path': '000000000009.jpg', 'English Question': 'Where to drink from?', 'English Answer': answer}
    return {**fields, 'info': INFO, **changes}


@pytest.fixture
def read(
    save: Callable[..., Path], paint: Callable[..., Path], tmp_path: Path, report: SkipReport
) -> Callable[..., list[Sample]]:
    paint('train2017/000000000009.jpg', (4, 6))

    def samples(name: str, file: str, *records: Any, lines: bool = False) -> list[Sample]:
        save(file, '\n'.join(map(json.dumps, records)) if lines else list(records))
        return list(SOURCES[name].read(tmp_path, 'train', report))

    return samples


def columns(sample: Sample) -> list[dict[str, list[list[int]]]]:
    """Columns of the masks by phrase, for each annotation."""
    return [
        {part.phrase: [np.flatnonzero(decode_rle(rle)[0]).tolist() for rle in part.masks] for part in each.parts}
        for each in sample.annotations
    ]


@pytest.mark.parametrize('lines', [False, True])
def test_names_in_an_answer_are_the_phrases_of_one_question(read: Callable[..., list[Sample]], lines: bool) -> None:
    answer = 'From [《1|cup》《 2 | cup 》], not the 《3|Pan》; the first one, 《1|cup》, is full.'
    (sample,) = read('lisa_plus_cot', 'LISA_Plus_COT/data.json', record(answer), lines=lines)
    assert columns(sample) == [{'cup': [[0, 1], [4, 5]], 'pan': [[2, 3]]}]
    assert (sample.annotations[0].kind, sample.annotations[0].text) == ('sentence', 'Where to drink from?')
    assert sample.image.as_posix().endswith('train2017/000000000009.jpg')


def test_instances_become_names(read: Callable[..., list[Sample]]) -> None:
    answer = 'instance id is 4, label name is cup; instance id is 2, label name is dining table'
    (sample,) = read('lisa_plus_instance', 'data.json', record(answer, info=json.dumps(INFO)))
    assert columns(sample) == [{'cup': [[0, 1]]}, {'dining table': [[4, 5]]}]
    assert sample.annotations[0].kind == 'phrase'


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (record('Nothing.'), 'expected a mention of an instance'),
        (record('《9|cup》'), 'info: expected the instance 9 of the answer, found none'),
        (record('《1|cup》', info={'1': [[0, 0]]}), 'info: instance 1: '),
        (record('《1|cup》', info={'1': []}), 'expected polygons of points'),
        (record('《1|cup》', image_path='000000000010.jpg'), 'expected the image 000000000010.jpg in'),
        (record('《1|cup》', **{'English Question': None}), 'expected text in English Question'),
        ('text', 'expected an object'),
    ],
)
def test_records_that_cannot_be_read_are_named(
    read: Callable[..., list[Sample]], report: SkipReport, bad: Any, message: str
) -> None:
    samples = read('lisa_plus_cot', 'LISA_Plus_COT/data.json', bad, record('《1|cup》'))
    assert [sample.id for sample in samples] == ['1']
    (error,) = report.errors
    assert error.index == 0
    assert message in error.reason
