"""Predictions from files: all formats, and errors that are reported without stopping."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.external_predictions import read_external_predictions, write_queries
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query

MakeMask = Callable[[int, int], Rle]


@pytest.fixture
def queries(query: Callable[..., Query]) -> list[Query]:
    """Three queries, whose ids are not their numbers."""
    return [query(name) for name in ('4.0', '4.1', '5.0')]


@pytest.fixture
def read(save: Callable[[str, Any], Path], queries: list[Query]) -> Callable[..., dict[str, PredictedMasks]]:
    """Write records to a file and read it; `read.reasons` are the index and reason of each skipped record."""

    def read_records(records: list[Any], name: str = 'predictions.json') -> dict[str, PredictedMasks]:
        report = SkipReport()
        predictions = read_external_predictions(save(name, records), queries, report)
        read_records.reasons = [(error.index, error.reason) for error in report.errors]  # type: ignore[attr-defined]
        return predictions

    return read_records


def test_coco_results_by_id_or_number(read: Callable[..., dict[str, PredictedMasks]], pixels: MakeMask) -> None:
    rows = [('4.0', pixels(0, 3), 0.2), (2, pixels(1, 1), 1.0), ('4.0', pixels(5, 3), 0.7)]
    predictions = read([{'image_id': i, 'category_id': 1, 'segmentation': rle, 'score': s} for i, rle, s in rows])
    assert predictions['4.0'] == PredictedMasks('4.0', (pixels(5, 3), pixels(0, 3)), (0.7, 0.2))
    assert predictions['4.1'] == PredictedMasks('4.1')
    assert predictions['5.0'].masks == (pixels(1, 1),)
    assert read.reasons == []


def test_gseval_lines(read: Callable[..., dict[str, PredictedMasks]], pixels: MakeMask) -> None:
    lines = [{'idx': 0, 'segmentation': pixels(0, 3)}, {'idx': 1, 'segmentation': None}]
    predictions = read(lines, 'predictions.jsonl')
    assert predictions['4.0'] == PredictedMasks('4.0', (pixels(0, 3),), (1.0,))
    assert predictions['4.1'].masks == ()
    assert read.reasons == []


def test_results_of_the_public_scripts(read: Callable[..., dict[str, PredictedMasks]], pixels: MakeMask) -> None:
    scored = {'idx': 1, 'instruction': 'Segment thing 4.1.', 'pred_rles': [pixels(0, 1), pixels(1, 1)]}
    predictions = read([
        {'giou': 0.6, 'by_num_objects': {}},
        {**scored, 'pred_scores': [0.4, 0.8]},
        {'idx': 0, 'mask_rle': [None]},
        {'idx': 2, 'pred_mask_rle': [pixels(7, 1)]},
        {**scored, 'pred_scores': [0.5, 0.6]},
    ])  # fmt: skip
    # The repeat of a distributed sampler does not count, and an empty slot is no mask.
    assert predictions['4.1'] == PredictedMasks('4.1', (pixels(1, 1), pixels(0, 1)), (0.8, 0.4))
    assert predictions['4.0'].masks == ()
    assert predictions['5.0'] == PredictedMasks('5.0', (pixels(7, 1),), (1.0,))
    assert read.reasons == []
    assert read([{'idx': 0, 'error': 'CUDA', 'iou': 0.0}])['4.0'].masks == ()


@pytest.mark.parametrize(
    ('record', 'reason'),
    [
        ({'image_id': '4.0', 'segmentation': {'size': [1, 100], 'counts': 'PPPP~'}, 'score': 1}, 'query 4.0: RLE'),
        ({'image_id': '4.0', 'segmentation': {'size': [2, 2], 'counts': '4'}, 'score': 1}, 'expected the size of the'),
        ({'image_id': '4.0', 'segmentation': {'size': [1, 100], 'counts': [100]}, 'score': None}, 'score: expected'),
        ({'image_id': 'x', 'segmentation': {}, 'score': 1}, "expected the id of a query, .* got 'x'"),
        ({'image_id': 3, 'segmentation': {}, 'score': 1}, 'its number below 3, got 3'),
        ({'idx': 0, 'instruction': 'Another thing.', 'pred_rles': []}, "expected a prediction for 'thing 4.0'"),
        ({'idx': 0, 'pred_rles': [{}], 'pred_scores': []}, 'expected a score for each of 1 masks, got 0'),
        ({'idx': 0}, 'expected segmentation'),
        (7, 'expected an object, got int'),
    ],
)
def test_unusable_records_are_reported(
    read: Callable[..., dict[str, PredictedMasks]], pixels: MakeMask, record: Any, reason: str
) -> None:
    good = {'image_id': '5.0', 'segmentation': pixels(0, 3), 'score': 0.5}
    predictions = read([good, record])
    assert predictions['4.0'].masks == ()
    assert predictions['5.0'].masks == (pixels(0, 3),)
    [(index, found)] = read.reasons
    assert index == 1
    assert re.search(reason, found)


def test_file_without_usable_records_is_an_error(read: Callable[..., dict[str, PredictedMasks]]) -> None:
    with pytest.raises(ConfigError, match=r'found none that can be used; the first that was skipped: .*\[0\]'):
        read([{'idx': 9, 'segmentation': None}])


def test_queries_are_written_as_json_lines(tmp_path: Path, queries: list[Query]) -> None:
    write_queries(queries, tmp_path / 'new' / 'queries.jsonl')
    lines = (tmp_path / 'new' / 'queries.jsonl').read_text().splitlines()
    assert len(lines) == 3
    assert '"number": 1, "id": "4.1", "image": "4.1.png", "text": "thing 4.1", "height": 1, "width": 100' in lines[1]
