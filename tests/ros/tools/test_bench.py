"""Rate and overhead of the running node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.clock import Clock

from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.bench import LatencyRecorder
from tests.support import GOLDEN

CHECKPOINT = GOLDEN / 'checkpoint'


def test_overhead_is_latency_minus_inference() -> None:
    recorder = LatencyRecorder(Clock())
    for latency_s in (0.030, 0.040, 0.050):
        result = Segmentation(latency=latency_s)
        result.header.stamp = make_stamp(recorder.clock.now().nanoseconds - 100_000_000)
        recorder.add_result(result)
    recorder.add_result(Segmentation(status=Segmentation.WITHDRAWN))
    recorder.inference_ms += [33.0, 35.0]
    numbers = recorder.summarize(2.0)
    assert numbers['answers_per_s'] == 1.5
    assert numbers['overhead_p50_ms'] == pytest.approx(6.0, abs=0.01)
    assert numbers['capture_p95_ms'] >= 100


def test_bench_measures_the_node(tmp_path: Path) -> None:
    arguments = ['--checkpoint', str(CHECKPOINT), '--size', '160x120', '--rate', '4', '--seconds', '4']
    command = [sys.executable, '-m', 'instructsam_ros.tools.bench', *arguments, '--device', 'cpu', '--out', 'line.json']
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    assert result == json.loads((tmp_path / 'line.json').read_text())
    assert result['answers'] >= 3
    assert result['inference_p50_ms'] > 0
    assert 0 < result['latency_p50_ms'] <= result['latency_p95_ms']
