"""Counters and recent latencies."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from instructsam_model import CanceledError, Instance, Instruction, Segmentation
from instructsam_ros.inference import statistics
from instructsam_ros.inference.error_codes import ErrorCode, MissingOutput
from instructsam_ros.inference.requests import CapturedImage, InferenceResult
from instructsam_ros.inference.statistics import OutputRecord, RecentValues, Statistics


def test_recent_values_expire(monkeypatch: pytest.MonkeyPatch):
    now_s = 100.0
    monkeypatch.setattr(statistics.time, 'monotonic', lambda: now_s)
    recent = RecentValues()
    for now_s in (101.0, 102.0, 103.0):
        recent.add(now_s)
    assert recent.values() == [101.0, 102.0, 103.0]
    assert recent.rate_hz() == pytest.approx(1.0)
    now_s = 112.5
    assert recent.values() == [103.0]
    assert recent.rate_hz() == pytest.approx(0.1)


def test_report_has_the_median_latency_and_the_last_error() -> None:
    counters = Statistics()
    for latency_s in (0.01, 0.02, 0.09):
        counters.latencies_s.add(latency_s)
    counters.add_error('the model broke')
    report = counters.report()
    assert report['latency p50 (ms)'] == '20.0'
    assert report['inference p50 (ms)'] == ''
    assert report['last error'] == 'the model broke'


def result(*, found: bool = True, **missing: Any) -> InferenceResult:
    mask = np.ones((2, 2), dtype=np.bool_)
    instances = (Instance(mask, np.array((0, 0, 2, 2), dtype=np.float32), 0.9, 'red'),) if found else ()
    segmentation = Segmentation(instances, Instruction('red'), '', (2, 2))
    return InferenceResult(Instruction('red'), CapturedImage(None, 'left'), segmentation, **missing)


NO_DEPTH = MissingOutput(ErrorCode.NO_DEPTH, 'no depth has arrived')
NO_PLANE = MissingOutput(ErrorCode.NO_PLANE, 'no plane')


@pytest.mark.parametrize(
    ('answer', 'masks', 'points', 'boxes'),
    [
        (result(), (1, 0), (1, 0), (1, 0)),
        (result(no_points=NO_DEPTH, no_boxes=NO_DEPTH), (1, 0), (0, 1), (0, 1)),
        (result(no_points=NO_DEPTH), (1, 0), (0, 1), (0, 1)),
        (result(no_boxes=NO_PLANE), (1, 0), (1, 0), (0, 1)),
        (result(found=False), (1, 0), (0, 0), (0, 0)),
        (result(found=False, no_points=NO_DEPTH), (1, 0), (0, 1), (0, 1)),
        (replace(result(), segmentation=None, error=RuntimeError('broken')), (0, 1), (0, 0), (0, 0)),
        (replace(result(), segmentation=None, error=CanceledError('deactivated')), (0, 0), (0, 0), (0, 0)),
        (replace(result(), capture=None), (0, 0), (0, 0), (0, 0)),
    ],
    ids=['complete', 'no depth', 'no points', 'no boxes', 'nothing found', 'nothing found without depth', 'failed',
         'canceled', 'no image'],
)  # fmt: skip
def test_counts_what_answers_lack(
    answer: InferenceResult, masks: tuple[int, int], points: tuple[int, int], boxes: tuple[int, int]
):
    counters = Statistics()
    counters.add_result(answer)
    records = (counters.masks, counters.points, counters.boxes)
    assert tuple(record['left'].counts() for record in records) == (masks, points, boxes)


def test_record_keeps_the_last_reason_and_forgets_the_answers(monkeypatch: pytest.MonkeyPatch):
    now_s = 100.0
    monkeypatch.setattr(statistics.time, 'monotonic', lambda: now_s)
    record = OutputRecord()
    for missing in (NO_DEPTH, NO_PLANE, None):
        record.add(missing)
    assert record.counts() == (1, 2)
    now_s = 100.5 + statistics.WINDOW_S
    assert record.counts() == (0, 0)
    assert (record.codes, record.last_reason) == ({ErrorCode.NO_DEPTH: 1, ErrorCode.NO_PLANE: 1}, 'no plane')
    report = record.report()
    assert (report['rate (Hz)'], report['missing (%)'], report['missing in total']) == ('0.0', '0', '2')
    assert report['missing in total, NO_DEPTH'] == '1'


def test_restart_forgets_rates_but_no_totals():
    counters = Statistics()
    counters.add_result(result(no_points=NO_DEPTH))
    counters.images.add()
    counters.add_error('the model broke')
    counters.restart()
    assert counters.points['left'].counts() == (0, 0)
    assert counters.images.values() == counters.errors.values() == []
    assert counters.points['left'].codes == {ErrorCode.NO_DEPTH: 1}
    assert counters.last_error == 'the model broke'


def test_counts_what_makes_answers_poorer():
    counters = Statistics()
    counters.add_result(result(geometry=SimpleNamespace(boxes=('a box', None, None))))
    counters.add_result(result(geometry=SimpleNamespace(boxes=(None,))))
    complete = result()
    assert complete.segmentation is not None
    counters.add_result(replace(complete, segmentation=replace(complete.segmentation, truncated=True)))
    report = counters.report()
    assert report['instances without 3D box'] == '2', 'answers without any box are counted as such'
    assert report['results truncated'] == '1'


def test_mistakes_of_clients_are_no_faults():
    counters = Statistics()
    for code in (ErrorCode.OK, ErrorCode.BUSY, ErrorCode.BUSY, ErrorCode.TIMEOUT, ErrorCode.BAD_IMAGE):
        counters.add_reply(int(code), code.name)
    assert counters.replies.counts() == (1, 3)
    assert counters.replies.codes == {ErrorCode.BUSY: 2, ErrorCode.TIMEOUT: 1}
    assert counters.replies.last_reason == 'TIMEOUT'
    assert counters.client_faults == {ErrorCode.BAD_IMAGE: 1}
