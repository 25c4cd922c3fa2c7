"""What the node adds to inference, measured on the running node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.clock import Clock

from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.bench import Account
from tests.support import GOLDEN

CHECKPOINT = GOLDEN / 'checkpoint'


def test_overhead_is_what_inference_does_not_explain() -> None:
    account = Account(Clock())
    for latency_s in (0.030, 0.040, 0.050):
        answer = Segmentation(latency=latency_s)
        answer.header.stamp = make_stamp(account.clock.now().nanoseconds - 100_000_000)
        account.on_answer(answer)
    account.inference_ms += [33.0, 35.0]
    figures = account.summarize(2.0)
    assert figures['answers_per_s'] == 1.5
    assert figures['overhead_p50_ms'] == pytest.approx(6.0, abs=0.01)
    assert figures['capture_p95_ms'] >= 100


def test_the_node_is_measured(tmp_path: Path) -> None:
    arguments = ['--checkpoint', str(CHECKPOINT), '--size', '160x120', '--rate', '4', '--seconds', '4']
    command = [sys.executable, '-m', 'instructsam_ros.tools.bench', *arguments, '--device', 'cpu', '--out', 'line.json']
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    assert result == json.loads((tmp_path / 'line.json').read_text())
    assert result['answers'] >= 3
    assert result['inference_p50_ms'] > 0
    assert 0 < result['latency_p50_ms'] <= result['latency_p95_ms']
