"""Calls of several client processes at once."""

from __future__ import annotations

import json

import pytest

from instructsam_ros.tools import burst
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph


def test_replies_of_all_processes_are_counted(graph: Graph, capsys: pytest.CaptureFixture[str]):
    graph.segmenter(FakeSegmenter(delay_s=0.05), warmup=False, max_pending_requests=5)
    assert burst.main(['--processes', '2', '--clients', '2', '--calls', '10', '--size', '64x48', '--startup', '3']) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result['calls'], result['replies']) == (40, 40)
    assert set(result['codes']) == {'OK', 'BUSY'}


def test_calls_without_a_reply_are_a_failure(graph: Graph, capsys: pytest.CaptureFixture[str]):
    assert burst.main(['--processes', '1', '--clients', '1', '--calls', '3', '--timeout', '0.5', '--startup', '1']) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])['replies'] == 0
