"""What the commands share: arguments, errors, table, summary and overlays. `open_session` is run by test_replay.py."""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from rich.console import Console

from instructsam_model import ConfigError, Instance, Instruction, Segmentation
from instructsam_ros.tools import runner
from instructsam_ros.tools.client import ClientError
from instructsam_ros.tools.node_process import ProcessEndedError

MASK = np.ones((4, 6), dtype=np.bool_)
BOX_XYXY = np.array((0, 0, 6, 4), dtype=np.float32)


@dataclass(frozen=True)
class Result:
    segmentation: Segmentation
    iou: float
    latency_s: float


def make_result(*labels: str, iou: float = 1.0, latency_s: float = 0.1) -> Result:
    instances = tuple(Instance(MASK, BOX_XYXY, 0.9, label) for label in labels)
    return Result(Segmentation(instances, Instruction('the [red] mug'), '', (6, 4)), iou, latency_s)


def test_arguments_choose_the_model_and_the_timeouts():
    parser = argparse.ArgumentParser()
    runner.add_arguments(parser)
    arguments = parser.parse_args(['--checkpoint', 'folder', '--device', 'cpu', '--timeout', '5'])
    assert (arguments.checkpoint, arguments.device, arguments.backend) == ('folder', 'cpu', 'auto')
    assert (arguments.timeout, arguments.start_timeout) == (5.0, 600.0)


@pytest.mark.parametrize('error', [ClientError, ProcessEndedError, ConfigError])
def test_run_session_exits_with_the_error_and_shuts_down(error: type[Exception]):
    def fail() -> None:
        assert rclpy.ok()
        raise error('it failed')

    with pytest.raises(SystemExit, match=r'^demo: it failed$'):
        runner.run_session('demo', fail)
    assert not rclpy.ok()


def test_run_session_returns_what_work_returns():
    assert runner.run_session('demo', lambda: 7) == 7


def test_run_session_exits_with_130_when_interrupted():
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        runner.run_session('demo', interrupt)
    assert caught.value.code == 130


def test_ask_all_keeps_the_order():
    assert runner.ask_all([1, 2, 3], lambda query: make_result(iou=query / 4))[2].iou == 0.75


def test_table_has_common_and_further_columns():
    results = [make_result('mug', 'mug', 'cup'), make_result(iou=0.25)]
    text = io.StringIO()
    columns = {'count': lambda result: str(len(result.segmentation.instances))}
    Console(file=text, width=120).print(runner.make_table(results, columns))
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in text.getvalue().splitlines() if '│' in line]
    assert rows == [
        ['000', 'the [red] mug', 'mug, cup', '3', '1.00'],
        ['001', 'the [red] mug', '(no target)', '0', '0.25'],
    ]


def test_summary_has_mean_iou_and_percentiles_of_the_latency():
    results = [make_result(iou=1.0, latency_s=0.1), make_result(iou=0.5, latency_s=0.3)]
    assert runner.summarize(results, ready_s=1.04, total_s=2.06) == {
        'queries': 2,
        'mean_iou': 0.75,
        'latency_p50_ms': 200.0,
        'latency_p95_ms': 290.0,
        'ready_s': 1.0,
        'total_s': 2.1,
    }


def test_overlays_are_written_as_rgb(tmp_path: Path):
    red = np.full((4, 6, 3), (255, 0, 0), dtype=np.uint8)
    runner.write_overlays([('000_a', red)], tmp_path / 'new' / 'folder')
    written_bgr = cv2.imread(str(tmp_path / 'new' / 'folder' / '000_a.png'))
    np.testing.assert_array_equal(written_bgr[..., ::-1], red)
