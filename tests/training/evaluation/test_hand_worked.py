"""From the files of a data set and of predictions to the report, in cases worked out by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.cli.evaluate import main

Save, Paint = Callable[[str, Any], Path], Callable[..., Path]
SIZE_HW = (10, 20)


def block(rows: slice, columns: slice) -> Rle:
    """Make the mask of a rectangle."""
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[rows, columns] = True
    return encode_rle(mask)


def columns(first: int, count: int) -> Rle:
    """Make a mask of whole columns of ten pixels each."""
    return block(slice(None), slice(first, first + count))


@pytest.fixture
def score(tmp_path: Path, save: Save) -> Callable[..., tuple[dict[str, Any], int]]:
    """Evaluate predictions for the data set in the temporary folder; returns the report and the exit status."""

    def run(benchmark: str, split: str, predictions: Sequence[Any], *more: str) -> tuple[dict[str, Any], int]:
        file, out = save('predictions.json', list(predictions)), tmp_path / 'out'
        arguments = [benchmark, '--data', str(tmp_path), '--split', split, '--out', str(out)]
        status = main([*arguments, '--predictions', str(file), *more])
        return json.loads((out / 'report.json').read_text()), status

    return run


def predicted(idx: int, *found: tuple[Rle, float]) -> dict[str, Any]:
    """Return a record in the format of the public scripts."""
    return {'idx': idx, 'pred_rles': [mask for mask, _ in found], 'pred_scores': [score for _, score in found]}


def test_reasonseg(score: Callable[..., Any], save: Save, paint: Paint) -> None:
    def shape(label: str, x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
        return {'label': label, 'points': [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]}

    def image(name: str, is_sentence: bool, *shapes: dict[str, Any]) -> None:
        paint(f'val/{name}.jpg', SIZE_HW)
        save(f'val/{name}.json', {'text': ['A text', 'Not asked'], 'is_sentence': is_sentence, 'shapes': list(shapes)})

    # Outlines count: 6 x 6 pixels, with a hole of 2 x 2 that counts for nothing.
    image('a', True, shape('ignore', 4, 4, 5, 5), shape('target', 2, 2, 7, 7))
    image('b', False)
    image('c', False, shape('target', 0, 0, 9, 9), shape('flag', 0, 0, 19, 9))
    found = [
        # 6 x 8 pixels in two masks; the third does not score above 0.3; the repeat of a sampler is not looked at.
        predicted(
            0, (block(slice(2, 8), slice(2, 6)), 0.9), (block(slice(2, 8), slice(6, 10)), 0.31), (columns(0, 20), 0.3)
        ),
        predicted(0, (columns(0, 20), 0.9)),
        predicted(1),
        predicted(2, (columns(15, 4), 0.9)),
    ]
    report, status = score('reasonseg', 'val', found)
    lisa = {'long': 32 / (44 + 1e-5), 'empty': 1.0, 'wrong': 0.0}
    assert status == 0
    assert report['overall']['gIoU'] == pytest.approx(sum(lisa.values()) / 3, abs=1e-12)
    assert report['overall']['cIoU'] == (32 + 0 + 0) / (44 + 0 + 140)
    assert report['strata']['length']['long']['gIoU'] == pytest.approx(lisa['long'], abs=1e-12)
    assert report['strata']['length']['short'] == {'queries': 2, 'gIoU': 0.5, 'cIoU': 0.0}
    released, _ = score('reasonseg', 'val', found, '--scoring', 'released')
    assert released['overall']['gIoU'] == pytest.approx(32 / 44 / 3, abs=1e-12)


def test_grefcoco(score: Callable[..., Any], save: Save, paint: Paint) -> None:
    paint('images/train2014/9.jpg', SIZE_HW)
    overlapping = [[0, 0, 4, 0, 4, 10, 0, 10], [2, 0, 6, 0, 6, 10, 2, 10]]  # columns 0 to 5
    ring = np.ones(SIZE_HW, dtype=np.bool_)
    ring[2:8, 2:18] = False  # 200 - 96 pixels
    save('grefcoco/instances.json', {
        'images': [{'id': 9, 'height': 10, 'width': 20, 'file_name': '9.jpg'}],
        'annotations': [
            {'id': 1, 'image_id': 9, 'iscrowd': 0, 'segmentation': overlapping},
            {'id': 2, 'image_id': 9, 'iscrowd': 0, 'segmentation': [[10, 0, 20, 0, 20, 10, 10, 10]]},
            {'id': 3, 'image_id': 9, 'iscrowd': 0, 'segmentation': encode_rle(ring)},
        ],
    })  # fmt: skip
    targets = [[1, 2], [-1], [-1], [3], [2]]
    save('grefcoco/grefs(unc).json', [
        {'ref_id': number, 'ann_id': ids, 'image_id': 9, 'split': 'val', 'sentences': [{'sent': f'thing {number}'}]}
        for number, ids in enumerate(targets)
    ])  # fmt: skip
    report, status = score('grefcoco', 'val', [
        predicted(0, (columns(0, 6), 0.9), (columns(10, 5), 0.8)),  # 110 of 160; the second has IoU 0.5 with its own
        predicted(1),
        predicted(2, (columns(0, 2), 0.7)),
        predicted(3, (columns(0, 20), 0.6)),  # the hole is missed: 104 of 200
        predicted(4, (columns(10, 7), 0.5)),  # IoU 0.7
    ])  # fmt: skip
    overall = report['overall']
    assert (status, report['skipped']) == (0, [])
    assert overall['gIoU'] == pytest.approx((110 / 160 + 1 + 0 + 104 / 200 + 0.7) / 5)
    assert overall['cIoU'] == (110 + 104 + 70) / (160 + 20 + 200 + 100)
    assert (overall['N-acc'], overall['T-acc']) == (1 / 2, 1.0)
    # At least the threshold, of the three with a target: 0.6875, 0.52 and 0.7.
    assert [overall[f'Pr@{threshold}'] for threshold in (0.7, 0.8, 0.9)] == [1 / 3, 0.0, 0.0]
    # Ranked right, right, wrong, right, right, of four targets.
    assert overall['AP50'] == pytest.approx((1 + 1 + 4 / 5 + 4 / 5) / 4)
    assert report['strata']['targets']['0']['gIoU'] == 0.5


def test_gseval(score: Callable[..., Any], save: Save) -> None:
    line = {'image_path': 'unlabeled2017/1.jpg', 'label': 'x', 'caption': 'x'}
    save('GroundingSuite-Eval.jsonl', [
        {**line, 'idx': 1, 'class_id': 1, 'box': [0, 0, 10, 10], 'segmentation': columns(0, 10)},
        {**line, 'idx': 2, 'class_id': 2, 'box': [0, 0, 10, 10], 'segmentation': columns(0, 10)},
        {**line, 'idx': 3, 'class_id': 4, 'box': [0, 0, 99, 99], 'segmentation': columns(0, 16)},
        {**line, 'idx': 3, 'class_id': 4, 'box': [0, 0, 10, 10], 'segmentation': columns(0, 1)},
        {**line, 'idx': 4, 'class_id': 1, 'box': [0, 0, 10, 10], 'segmentation': columns(0, 20)},
    ])  # fmt: skip
    found = [
        {'idx': 1, 'segmentation': columns(0, 5)},  # 1/2; 2 is not there, and 4 is there, but empty
        {'idx': 3, 'segmentation': columns(0, 8)},  # 1/2 of the first of that number, whose box is cut to 20 x 10
        {'idx': 4, 'segmentation': columns(0, 0)},
    ]
    report, status = score('gseval', 'test', found)
    overall = report['overall']
    assert (status, report['queries'], report['scored'], report['empty_predictions']) == (0, 4, 4, 2)
    assert (overall['gIoU'], overall['cIoU']) == ((1 / 2 + 0 + 1 / 2 + 0) / 4, (50 + 80) / (100 + 100 + 160 + 200))
    assert (overall['Pr@0.5'], overall['box Acc@0.5']) == (2 / 4, 0.0)  # masks from 0.5 on, boxes above
    assert {name: row['gIoU'] for name, row in report['strata']['class'].items()} == {
        'part': 0.0, 'single': 0.5, 'stuff': 0.25
    }  # fmt: skip
    released, _ = score('gseval', 'test', found, '--scoring', 'released')
    assert (released['overall']['gIoU'], released['scored']) == (0.5, 2)


def test_roborefit(score: Callable[..., Any], save: Save, paint: Paint, tmp_path: Path) -> None:
    folder = 'final_dataset/testB'
    paint(f'{folder}/image/0000000.png', SIZE_HW)
    (tmp_path / folder / 'mask' / '0000000').mkdir(parents=True)
    records = []
    for number, (count, bbox) in enumerate([(10, [-3, 0, 10, 10]), (10, [0, 0, 10, 10]), (20, [0, 0, 25, 12])]):
        pixels = np.zeros((*SIZE_HW, 3), dtype=np.uint8)
        pixels[:, :count, number] = 7  # whichever channel is not black
        name = f'mask/0000000/{number}.png'
        Image.fromarray(pixels).save(tmp_path / folder / name)
        paths = {'rgb_path': f'{folder}/image/0000000.png', 'mask_path': f'{folder}/{name}'}
        windows = {key: path.replace('/', '\\') for key, path in paths.items()}
        records.append({'num': number, 'text': 'it', 'bbox': bbox, 'scene': 's', 'class': 'c', **windows})
    save(f'{folder}/roborefit_testB.json', records)
    report, status = score('roborefit', 'testB', [
        predicted(0, (columns(0, 5), 0.9)),  # mask and box: exactly 0.5
        predicted(1, (columns(0, 9), 0.51), (columns(10, 10), 0.5)),  # 0.9; the second does not score above 0.5
        predicted(2, (columns(0, 12), 0.9)),  # 0.6, of a box that is cut to 20 x 10
    ])  # fmt: skip
    overall = report['overall']
    assert (status, report['skipped']) == (0, [])
    assert overall['mIoU'] == pytest.approx((0.5 + 0.9 + 0.6) / 3)
    assert overall['cIoU'] == (50 + 90 + 120) / (100 + 100 + 200)
    assert [overall[f'Pr@{threshold}'] for threshold in (0.5, 0.7, 0.9)] == [1.0, 1 / 3, 1 / 3]
    assert overall['box Acc@0.5'] == 2 / 3
    assert overall['box mIoU'] == pytest.approx((0.5 + 0.9 + 0.6) / 3)


def test_damaged_records_are_counted_and_listed(score: Callable[..., Any], save: Save) -> None:
    damaged = {'size': [10, 20], 'counts': 'PPPP~'}
    entries = [{'text': 'good', 'mask': [columns(0, 10)]}, {'text': 'damaged', 'mask': [damaged]}]
    save('inst2seg.json', [{'image': 'a.png', 'height': 10, 'width': 20, 'annotation': entries}])
    wrong_size = encode_rle(np.ones((20, 10), dtype=np.bool_))
    found = [predicted(0, (columns(0, 10), 0.9), (wrong_size, 0.8), (damaged, 0.7)), predicted(9)]
    report, status = score('inst2seg', 'test', found, '--max-skipped', '0.8')
    assert (status, report['queries'], report['overall']['gIoU']) == (1, 1, 1.0)
    reasons = [
        r'inst2seg.json\[0\.1\]: RLE counts: expected the characters', r'RLE size: expected the size of the image',
        'query 0.0: RLE counts: expected the characters', 'expected the id of a query, or its number below 1',
    ]  # fmt: skip
    assert len(report['skipped']) == len(reasons)
    for line, reason in zip(report['skipped'], reasons, strict=True):
        assert re.search(reason, line)
