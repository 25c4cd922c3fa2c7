"""COCO's average precision: equal to that of pycocotools from files, without a score threshold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instructsam_model.masks import Rle
from instructsam_training.evaluation.coco_ap import coco_average_precision
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from tests.support import GOLDEN

GOLDEN = GOLDEN / 'metrics.json'


def test_equals_pycocotools_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = json.loads(GOLDEN.read_text())['records']
    annotations = [
        {'image_id': record['query_id'] + 1, 'segmentation': rle, 'area': int(coco_mask.area(rle)), 'iscrowd': 0}
        for record in records
        for rle in record['gt_rles']
    ]
    truth = {
        'images': [{'id': record['query_id'] + 1, 'height': 120, 'width': 160} for record in records],
        'categories': [{'id': 1, 'name': 'x'}],
        'annotations': [
            {'id': number, 'category_id': 1, 'bbox': coco_mask.toBbox(entry['segmentation']).tolist(), **entry}
            for number, entry in enumerate(annotations, 1)
        ],
    }
    results = [
        {'image_id': record['query_id'] + 1, 'category_id': 1, 'segmentation': rle, 'score': score}
        for record in records
        for rle, score in zip(record['pred_rles'], record['pred_scores'], strict=True)
    ]
    for name, content in (('truth.json', truth), ('results.json', results)):
        (tmp_path / name).write_text(json.dumps(content))
    coco = COCO(tmp_path / 'truth.json')
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / 'results.json')), 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    pairs = [
        (
            Query(str(record['query_id']), Path('x'), (120, 160), 'phrase', 'x', tuple(record['gt_rles'])),
            PredictedMasks(str(record['query_id']), tuple(record['pred_rles']), tuple(record['pred_scores'])),
        )
        for record in records
    ]
    assert [*coco_average_precision(pairs).values()] == evaluation.stats[:3].tolist()
    assert evaluation.stats[0] > 0.3
    assert capsys.readouterr().out == ''


def test_no_score_threshold(
    query: Callable[..., Query], prediction: Callable[..., PredictedMasks], pixels: Callable[[int, int], Rle]
) -> None:
    pairs = [
        (query('a', pixels(0, 10), pixels(20, 10)), prediction('a', (pixels(0, 10), 0.9), (pixels(20, 10), 0.001))),
        (query('b'), prediction('b')),
    ]
    assert coco_average_precision(pairs)['COCO AP'] == pytest.approx(1.0)
    assert coco_average_precision([(pairs[0][0], prediction('a'))])['COCO AP'] == 0.0
    assert coco_average_precision(pairs[1:])['COCO AP'] is None
