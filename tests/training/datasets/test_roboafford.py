"""RoboAfford on PACO-LVIS: the target of a question is found by the points of its answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.roboafford import QUESTIONS, read_roboafford
from tests.support.coco_content import LEFT, RIGHT, content, image_entry, instance

WHOLE = [0, 0, 6, 0, 6, 4, 0, 4]


def record(*turns: str, image: Any = 'train2017/000000000001.jpg') -> dict[str, Any]:
    speakers = ('human', 'gpt') * len(turns)
    conversations = [{'from': speaker, 'value': text} for speaker, text in zip(speakers, turns, strict=False)]
    return {'id': 'x', 'image': image, 'conversations': conversations}


@pytest.fixture
def read(save: Callable[..., Path], tmp_path: Path, report: SkipReport) -> Callable[..., list[Sample]]:
    """Read questions about an image with a mug, 6 columns wide, and its two handles, 2 columns each."""
    annotations = [instance(1, [WHOLE], id=1), instance(2, [LEFT], id=2), instance(2, [RIGHT], id=3)]
    images = [image_entry(1, file_name='train2017/000000000001.jpg')]
    save('annotations/paco_lvis_v1_train.json', content(images, annotations, 'mug', 'mug:handle'))

    def samples(*records: Any) -> list[Sample]:
        save(QUESTIONS, list(records))
        return list(read_roboafford(tmp_path, 'train', report))

    return samples


def test_points_find_the_smallest_target(read: Callable[..., list[Sample]], report: SkipReport) -> None:
    questions = record(
        '<image>\nWhere to grip the mug? Your answer should be formatted as a list of tuples, i.e. [(x1, y1), ...].',
        '[(4, 1), (5.5, 3), (5, 2)]',
        'Which parts are curved?',
        '[(0, 0), (4, 1)]',
        'Which object holds a drink?',
        '[(0, 0), (3, 3), (2, 1)]',
    )
    (sample,) = read(questions)
    assert [each.text for each in sample.annotations] == [
        'Where to grip the mug?',
        'Which parts are curved?',
        'Which object holds a drink?',
    ]
    found = [
        (each.phrase, [np.flatnonzero(decode_rle(rle)[0]).tolist() for rle in each.masks])
        for each in sample.annotations
    ]
    assert found == [
        ('the handle of the mug', [[4, 5]]),
        ('the handle of the mug', [[0, 1], [4, 5]]),
        ('mug', [[0, 1, 2, 3, 4, 5]]),
    ]
    assert not report.errors


@pytest.mark.parametrize(
    ('bad', 'index', 'message'),
    [
        (record('Where?', 'There.'), '0.conversations.0', 'expected an answer with points'),
        (record('Where?', '[(9, 9), (-1, 2)]'), '0.conversations.0', 'whose masks contain the points'),
        (record('Where?'), '0', 'expected questions and answers in turn, got 1 turns'),
        (record('Where?', '[(1, 1)]', image='train2017/000000000002.jpg'), '0', 'expected the image coco/2'),
        (record('Where?', '[(1, 1)]', image=None), '0', 'expected a record with image'),
    ],
)
def test_questions_without_a_sure_target_are_named(
    read: Callable[..., list[Sample]],
    reasons: Callable[[], list[tuple[str, str, str]]],
    bad: Any,
    index: str,
    message: str,
) -> None:
    (sample,) = read(bad, record('Where to grip?', '[(0, 0)]'))
    assert [each.text for each in sample.annotations] == ['Where to grip?']
    ((_, where, reason),) = reasons()
    assert where == index
    assert message in reason


def test_masks_are_those_of_paco(save: Callable[..., Path], tmp_path: Path, report: SkipReport) -> None:
    save(QUESTIONS, [record('Where?', '[(0, 0)]')])
    with pytest.raises(ConfigError, match=r'paco_lvis_v1_train\.json, found no such file'):
        list(read_roboafford(tmp_path, 'train', report))
    with pytest.raises(ConfigError, match='split: expected one of train, val, test'):
        list(read_roboafford(tmp_path, 'all', report))
