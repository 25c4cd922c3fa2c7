"""The throughput of a stage, measured for a moment: its last line is for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsam_training.throughput import main


def test_last_line_is_json(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(run_file), '--steps', '2', '--picture', '96x64', '--peak-tflops', '0.1', 'stages.0.lora.rank=2'])
    assert code == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result['images_per_s'] == pytest.approx(1 / result['seconds_p50'])
    assert result['tflop_per_s'] == pytest.approx(result['tflop_a_step'] / result['seconds_p50'])
    assert result['share_of_peak'] == pytest.approx(result['tflop_per_s'] / 0.1)
    assert result['tflop_a_step'] > 1e-4


def test_wrong_setting_is_named(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run_file), 'stages.0.stps=1']) == 2
    assert 'stages.0.stps: unknown' in capsys.readouterr().err
