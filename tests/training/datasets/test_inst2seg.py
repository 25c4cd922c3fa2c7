"""The evaluation files of the public implementation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.inst2seg import (
    read_grefcoco_eval,
    read_inst2seg,
    read_reasonseg_eval,
    read_roborefit_eval,
)
from tests.support import GOLDEN

LEFT = np.zeros((4, 6), dtype=bool)
LEFT[:, :2] = True
RIGHT = LEFT[:, ::-1].copy()
RLE, OTHER, EMPTY = encode_rle(LEFT), encode_rle(RIGHT), encode_rle(LEFT & RIGHT)
RUNS = {'size': [4, 6], 'counts': [0, 8, 16]}
POLYGON, SECOND = [0, 0, 2, 0, 2, 4, 0, 4], [4, 0, 6, 0, 6, 4, 4, 4]


@pytest.mark.parametrize(
    ('mask', 'expected'),
    [
        pytest.param([RLE, OTHER], [LEFT, RIGHT], id='compressed'),
        pytest.param([RUNS], [LEFT], id='uncompressed'),
        pytest.param([json.dumps(RLE)], [LEFT], id='text'),
        pytest.param(RLE, [LEFT], id='one, not in a list'),
        pytest.param(POLYGON, [LEFT], id='a polygon, not in a list'),
        pytest.param([POLYGON, SECOND], [LEFT, RIGHT], id='a polygon each'),
        pytest.param([[POLYGON, SECOND]], [LEFT | RIGHT], id='one of two polygons'),
        pytest.param([], [], id='no target'),
        pytest.param(None, [], id='no target, null'),
    ],
)
def test_all_forms_of_a_target(
    save: Callable[..., Path], report: SkipReport, tmp_path: Path, mask: Any, expected: list[np.ndarray]
) -> None:
    record = {'image': 'ego/f_001.jpg', 'height': 4, 'width': 6, 'annotation': [{'text': 'Which cups?', 'mask': mask}]}
    save('inst2seg.json', [record])
    (sample,) = read_inst2seg(tmp_path, 'test', report)
    (annotation,) = sample.annotations
    assert len(annotation.masks) == len(expected)
    for rle, target in zip(annotation.masks, expected, strict=True):
        np.testing.assert_array_equal(decode_rle(rle), target)


def test_inst2seg(save: Callable[..., Path], report: SkipReport, tmp_path: Path) -> None:
    questions = [{'text': 'Which two cups are empty?', 'mask': [RLE, OTHER]}, {'text': 'Which item is a helmet?'}]
    save('inst2seg.json', [{'image': 'ego/f_001.jpg', 'height': 4, 'width': 6, 'annotation': questions}])
    (sample,) = read_inst2seg(tmp_path, 'test', report, tmp_path / 'images')
    assert sample.image == tmp_path / 'images' / 'ego' / 'f_001.jpg'
    assert (sample.size_hw, sample.id) == ((4, 6), '0')
    assert [(a.kind, a.text, len(a.masks)) for a in sample.annotations] == [
        ('sentence', 'Which two cups are empty?', 2),
        ('sentence', 'Which item is a helmet?', 0),
    ]


def test_golden_files(report: SkipReport, tmp_path: Path) -> None:
    # tests/golden/eval_*.json: the golden annotations in two of the published evaluation formats.
    shutil.copy(GOLDEN / 'eval_inst2seg.json', tmp_path / 'inst2seg.json')
    shutil.copy(GOLDEN / 'eval_roborefit.json', tmp_path / 'roborefit_testA_qa.json')
    queries = [a for sample in read_inst2seg(tmp_path, 'test', report, GOLDEN) for a in sample.annotations]
    assert sum(not query.masks for query in queries) == 6
    robot = list(read_roborefit_eval(tmp_path, 'testA', report, GOLDEN))
    assert len(robot) == len(json.loads((GOLDEN / 'eval_roborefit.json').read_text()))
    assert all(sample.image.is_file() and len(sample.annotations[0].masks) == 1 for sample in robot)
    assert not report.errors


def test_grefcoco(save: Callable[..., Path], paint: Callable[..., Path], report: SkipReport, tmp_path: Path) -> None:
    paint('val2017/000000000001.jpg', (4, 6))
    record = {'height': 4, 'width': 6, 'cat': ['two men left', 'nobody'], 'masks': [[RUNS], []]}
    names = ['COCO_train2014_000000000001.jpg', 'COCO_train2014_000000000002.jpg']
    save('grefcoco_testA.json', [{'image': name, **record} for name in names])
    (sample,) = read_grefcoco_eval(tmp_path, 'testA', report)
    assert sample.image == tmp_path / 'val2017' / '000000000001.jpg'
    assert [(a.kind, a.text, len(a.masks)) for a in sample.annotations] == [
        ('phrase', 'two men left', 1),
        ('phrase', 'nobody', 0),
    ]
    assert [error.index for error in report.errors] == [1]
    assert 'found it in neither' in report.errors[0].reason


def test_reasonseg(save: Callable[..., Path], report: SkipReport, tmp_path: Path) -> None:
    long = {'image': 'a.jpg', 'question': 'What keeps the rain off?', 'is_sentence': True, 'mask': RLE}
    short = {'image': 'b.jpg', 'question': 'Umbrella', 'is_sentence': False, 'mask': EMPTY, 'ignore_mask': OTHER}
    save('reason_seg_val.json', [long, short])
    first, second = read_reasonseg_eval(tmp_path, 'val', report)
    assert [(s.annotations[0].kind, s.annotations[0].text) for s in (first, second)] == [
        ('sentence', 'What keeps the rain off?'),
        ('phrase', 'Umbrella'),
    ]
    assert (first.size_hw, first.ignore, first.annotations[0].masks) == ((4, 6), None, (RLE,))
    assert (second.ignore, second.annotations[0].masks) == (OTHER, ())


def test_roborefit(save: Callable[..., Path], paint: Callable[..., Path], report: SkipReport, tmp_path: Path) -> None:
    paint('robo/0000002.png', (4, 6))
    records = [
        {'image': 'robo/0000001.png', 'question': 'Pass me the red can.', 'masks': RLE},
        {'image': 'robo/0000002.png', 'expression': 'The can.', 'masks': [POLYGON]},
    ]
    save('roborefit_testB_qa.json', records)
    first, second = read_roborefit_eval(tmp_path, 'testB', report)
    assert [(s.annotations[0].text, s.annotations[0].masks) for s in (first, second)] == [
        ('Pass me the red can.', (RLE,)),
        ('The can.', (RLE,)),
    ]
    assert (first.id, second.id) == ('0', '1')


READERS = {
    'inst2seg.json': (read_inst2seg, ''),
    'grefcoco_val.json': (read_grefcoco_eval, 'val'),
    'reason_seg_test.json': (read_reasonseg_eval, 'test'),
    'roborefit_testA_qa.json': (read_roborefit_eval, 'testA'),
}
IMAGE = {'image': 'COCO_train2014_000000000001.jpg', 'height': 4, 'width': 6}
ROBOT = {'image': 'robo/1.png', 'question': 'Pass me the can.', 'masks': RLE}


@pytest.mark.parametrize(
    ('name', 'bad', 'index', 'message'),
    [
        ('inst2seg.json', {**IMAGE, 'image': None, 'annotation': []}, '0', 'expected text in image'),
        ('inst2seg.json', {**IMAGE, 'height': None, 'annotation': []}, '0', 'height and width'),
        ('inst2seg.json', {**IMAGE}, '0', 'annotation: expected a list'),
        ('inst2seg.json', {**IMAGE, 'annotation': [{'mask': None}]}, '0.0', 'expected a text'),
        ('inst2seg.json', {**IMAGE, 'annotation': [{'text': ' ', 'mask': None}]}, '0.0', 'expected a text'),
        ('inst2seg.json', {**IMAGE, 'annotation': [{'text': 'a', 'mask': [EMPTY]}]}, '0.0', 'at least one pixel'),
        ('inst2seg.json', {**IMAGE, 'annotation': [{'text': 'a', 'mask': [[1, 2]]}]}, '0.0', 'three points'),
        ('inst2seg.json', {**IMAGE, 'annotation': [{'text': 'a', 'mask': 5}]}, '0.0', 'expected a list of masks'),
        ('inst2seg.json', 'nothing', '0', 'expected an object'),
        ('grefcoco_val.json', {**IMAGE, 'cat': ['a'], 'masks': []}, '0', 'cat and masks of one length'),
        ('grefcoco_val.json', {**IMAGE, 'cat': [None], 'masks': [[]]}, '0.0', 'expected a text'),
        ('reason_seg_test.json', {**ROBOT, 'mask': RLE}, '0', 'is_sentence'),
        (
            'reason_seg_test.json',
            {**ROBOT, 'is_sentence': True, 'mask': RLE, 'ignore_mask': {'size': [6, 4], 'counts': [24]}},
            '0',
            'RLE size: expected the size of the',
        ),
        ('roborefit_testA_qa.json', {**ROBOT, 'question': None}, '0', 'question or expression'),
        ('roborefit_testA_qa.json', {**ROBOT, 'masks': {'size': [4, 6], 'counts': 'P`'}}, '0', 'RLE counts'),
        ('roborefit_testA_qa.json', {**ROBOT, 'masks': [POLYGON]}, '0', 'found no file'),
    ],
)
def test_invalid_records_are_reported(
    save: Callable[..., Path],
    paint: Callable[..., Path],
    report: SkipReport,
    tmp_path: Path,
    name: str,
    bad: Any,
    index: str,
    message: str,
) -> None:
    paint('train2017/000000000001.jpg', (4, 6))
    file = save(name, [bad])
    reader, split = READERS[name]
    assert list(reader(tmp_path, split, report)) == []
    assert [(error.file, str(error.index)) for error in report.errors] == [(file, index)]
    assert message in report.errors[0].reason


@pytest.mark.parametrize('name', READERS)
def test_unusable_files(save: Callable[..., Path], report: SkipReport, tmp_path: Path, name: str) -> None:
    reader, split = READERS[name]
    with pytest.raises(ConfigError, match='found no such file'):
        reader(tmp_path, split, report)
    for text, message in (('[]', 'an empty list'), ('{}', 'expected a list'), ('[{"image":', 'only a part of it')):
        save(name, text)
        with pytest.raises(ConfigError, match=message):
            reader(tmp_path, split, report)


def test_record_without_questions_is_named(save: Callable[..., Path], report: SkipReport, tmp_path: Path) -> None:
    record = {'image': 'a.jpg', 'height': 4, 'width': 6, 'annotation': []}
    save('inst2seg.json', [record, {**record, 'annotation': [{'text': 'Which cups?'}]}])
    assert [sample.id for sample in read_inst2seg(tmp_path, 'test', report)] == ['1']
    assert [(error.index, error.reason) for error in report.errors] == [
        (0, 'expected at least one question, found none')
    ]
