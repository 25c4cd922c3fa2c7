"""Throughput of a training stage. Covers engine/throughput.py and families/instructsam/random_batch.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsam_training.cli.throughput import main


def test_last_line_is_json(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [str(run_file), '--steps', '2', '--image-size', '96x64', '--peak-tflops', '0.1', 'stages.0.lora.rank=2']
    )
    assert code == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result['images_per_s'] == pytest.approx(result['micro_batch'] / result['seconds_p50'])
    assert result['micro_batch'] == 2  # the stage's
    assert result['kernels_per_step'] is None  # there is no GPU
    assert result['tflop_per_s'] == pytest.approx(result['tflop_per_step'] / result['seconds_p50'])
    assert result['share_of_peak'] == pytest.approx(result['tflop_per_s'] / 0.1)
    assert result['tflop_per_step'] > 1e-4


def test_fake_cuda_records_kernels_and_host_waits(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        str(run_file),
        '--device',
        'fake-cuda',
        '--image-size',
        '96x64',
        'stages.0.objective=language_model',
        'stages.0.lora.rank=2',
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    assert 'nothing was measured' in result['device']
    assert result['kernels_per_step'] == 2 * result['kernels_per_image'] > 100
    assert result['host_waits_per_step'] == 1
    assert 'step.py' in result['wait_1']
    assert result['peak_memory_gib'] > 0
    assert main([*command, '--gpu', 'h100']) == 2
    assert 'expected one of h200' in capsys.readouterr().err


def test_wrong_setting_is_named(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run_file), 'stages.0.stps=1']) == 2
    assert 'stages.0.stps: no key' in capsys.readouterr().err
