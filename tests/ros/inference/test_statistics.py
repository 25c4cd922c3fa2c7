"""Counters and recent latencies."""

from __future__ import annotations

import pytest

from instructsam_ros.inference import statistics
from instructsam_ros.inference.statistics import RecentValues, Statistics


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
