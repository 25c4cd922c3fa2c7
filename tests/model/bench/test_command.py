"""instructsam-bench: its table, its last line, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import Frame
from instructsam_model.bench.command import build_parser, main, open_segmenter
from instructsam_model.bench.stages import STAGES
from instructsam_model.runtime.quantization import count_bytes


def test_every_scenario_is_measured_and_the_last_line_is_json(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '200')  # no heading is folded
    command = ['--checkpoint', str(checkpoint), '--device', 'cpu', '--size', '160x120', '--repeats', '2']
    assert main([*command, '--compare-naive']) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    scenarios = result['scenarios']
    assert list(scenarios) == ['cold', 'same both', 'same frame', 'reworded', 'warm', 'steady', 'naive']
    encoders = ('preprocess', 'sam3 vision', 'qwen vision', 'prefill')
    read = ('qwen vision', 'prefill', 'text')
    for name, row in scenarios.items():
        assert 0 < row['p50_ms'] <= row['p95_ms'] <= row['p99_ms']
        assert list(row['stages_ms']) == list(STAGES)
        assert row['floor_ms'] == pytest.approx(1e3 * row['tflop'] / result['peak_tflop_per_s'], rel=0.1)
        if name.startswith('same') or name == 'reworded':
            assert not any(row['stages_ms'][stage] for stage in encoders)
        elif name == 'steady':
            assert row['stages_ms']['sam3 vision'] > 0
            assert not any(row['stages_ms'][stage] for stage in read)
        else:
            assert all(row['stages_ms'][stage] > 0 for stage in encoders[1:])
    assert scenarios['same frame']['tflop'] < scenarios['cold']['tflop'] / 2
    assert 'naive / ours' in printed


def test_an_architecture_is_measured_with_random_weights(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ['--architecture', str(checkpoint), '--tokenizer', str(checkpoint), '--device', 'cpu', '--size', '96x96']
    assert main([*command, '--repeats', '1', '--phrases', '2', '--phrase-tokens', '4', '--queries', '3']) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result['phrases'], result['queries']) == (2, 3)


@pytest.mark.parametrize('weights', ['--checkpoint', '--architecture'])
def test_image_sizes_reach_what_is_measured(checkpoint: Path, weights: str) -> None:
    command = [weights, str(checkpoint), '--tokenizer', str(checkpoint), '--device', 'cpu', '--dtype', 'float32']
    segmenter = open_segmenter(
        build_parser().parse_args([*command, '--instructsam.max_pixels', '65536', '--instructsam.sam3_size', '112'])
    )
    pixels = segmenter.preprocessor.pixels(Frame(np.zeros((480, 640, 3), np.uint8)), torch.device('cpu'))
    assert pixels.sam3.shape[-2:] == (112, 112)
    assert segmenter.network.mask_grid == (32, 32)
    assert 0.8 * 65536 < pixels.grid_thw.prod() * 16**2 <= 65536
    assert count_bytes(segmenter.network) == 4 * sum(each.numel() for each in segmenter.network.parameters())


def test_cameras_that_take_turns_do_not_cost_each_other_what_is_reused(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['--checkpoint', str(checkpoint), '--device', 'cpu', '--size', '96x96', '--repeats', '1']
    assert main([*command, '--cameras', '2', '--compare-naive']) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result['cameras'] == 2
    assert list(result['scenarios']) == ['cold', 'warm', 'steady', 'naive']
    steady = result['scenarios']['steady']
    assert not any(steady['stages_ms'][stage] for stage in ('qwen vision', 'prefill', 'text'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--size', '640'], '--size: expected width x height'),
        (['--repeats', '0'], '--repeats: expected at least 1'),
        (['--cameras', '0'], '--cameras: expected at least 1'),
        (['--checkpoint', '/nowhere'], '/nowhere'),
        (
            ['--instructsam.sam3_size', '100'],
            'sam3_size: expected 0 for that of the checkpoint, 240, or a multiple of 60',
        ),
        (
            ['--instructsam.max_pixels', '100'],
            'max_pixels: expected 0 for the bound of the checkpoint, or at least 4096',
        ),
    ],
)
def test_what_cannot_be_measured_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, '--device', 'cpu']) == 2
    assert message in capsys.readouterr().err
