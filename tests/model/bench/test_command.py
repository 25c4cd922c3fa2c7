"""instructsam-bench: tables, the result in the last line, and errors.

Covers bench.__main__, bench.arguments, bench.hooks, bench.measured_tables, bench.scenarios, bench.stages,
bench.subject, bench.sweep, bench.instructsam.hooks, bench.instructsam.options and bench.instructsam.random_subject.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import ConfigError, Frame, Instruction
from instructsam_model.bench.__main__ import main
from instructsam_model.bench.arguments import build_parser
from instructsam_model.bench.hooks import hooks_of
from instructsam_model.bench.stages import STAGES
from instructsam_model.bench.subject import open_subject
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.quantization import count_bytes
from tests.support import ROOT


class FakeSegmenter:
    def memory_bytes(self) -> int:
        return 2**30


def test_all_scenarios_are_measured_and_the_last_line_is_json(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '200')  # wide enough for all headings
    command = ['--checkpoint', str(checkpoint), '--device', 'cpu', '--size', '160x120', '--repeats', '2']
    assert main([*command, '--compare-naive']) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    scenarios = result['scenarios']
    assert list(scenarios) == ['cold', 'same both', 'same frame', 'reworded', 'warm', 'steady', 'naive']
    encoders = ('preprocess', 'sam3 vision', 'qwen vision', 'prefill')
    generation = ('qwen vision', 'prefill', 'text')
    for name, row in scenarios.items():
        assert 0 < row['p50_ms'] <= row['p95_ms'] <= row['p99_ms']
        assert list(row['stages_ms']) == list(STAGES)
        assert row['roofline_ms'] == pytest.approx(1e3 * row['tflop'] / result['peak_tflop_per_s'], rel=0.1)
        if name.startswith('same') or name == 'reworded':
            assert not any(row['stages_ms'][stage] for stage in encoders)
        elif name == 'steady':
            assert row['stages_ms']['sam3 vision'] > 0
            assert not any(row['stages_ms'][stage] for stage in generation)
        else:
            assert all(row['stages_ms'][stage] > 0 for stage in encoders[1:])
    assert scenarios['same frame']['tflop'] < scenarios['cold']['tflop'] / 2
    assert 'naive / ours' in printed


def test_architecture_is_measured_with_random_weights(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ['--architecture', str(checkpoint), '--tokenizer', str(checkpoint), '--device', 'cpu', '--size', '96x96']
    assert main([*command, '--repeats', '1', '--phrases', '2', '--phrase-tokens', '4', '--queries', '3']) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result['phrases'], result['queries']) == (2, 3)


@pytest.mark.parametrize('weights', ['--checkpoint', '--architecture'])
def test_image_sizes_are_passed_to_the_segmenter(checkpoint: Path, weights: str) -> None:
    command = [weights, str(checkpoint), '--tokenizer', str(checkpoint), '--device', 'cpu', '--dtype', 'float32']
    subject = open_subject(
        build_parser().parse_args([*command, '--instructsam.max_pixels', '65536', '--instructsam.sam3_size', '112'])
    )
    segmenter = subject.segmenter
    assert isinstance(segmenter, InstructSAMSegmenter)
    pixels = segmenter.preprocessor.pixels(Frame(np.zeros((480, 640, 3), np.uint8)), torch.device('cpu'))
    assert pixels.sam3.shape[-2:] == (112, 112)
    assert segmenter.network.mask_grid == (32, 32)
    assert 0.8 * 65536 < pixels.grid_thw.prod() * 16**2 <= 65536
    assert count_bytes(segmenter.network) == 4 * sum(each.numel() for each in segmenter.network.parameters())


def test_several_cameras_keep_separate_caches(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
            "sam3_size: expected 0 for the checkpoint's size, 240, or a multiple of 60",
        ),
        (
            ['--instructsam.max_pixels', '100'],
            "max_pixels: expected 0 for the checkpoint's limit, or at least 4096",
        ),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, '--device', 'cpu']) == 2
    assert message in capsys.readouterr().err


def test_help_imports_no_torch() -> None:
    code = (
        'import sys; from instructsam_model.bench.arguments import build_parser; '
        'build_parser().format_help(); sys.exit("torch" in sys.modules)'
    )
    environment = {'PYTHONPATH': str(ROOT / 'model')}
    assert subprocess.run([sys.executable, '-c', code], env=environment, check=False).returncode == 0


def test_back_end_without_hooks_is_measured_by_latency_alone() -> None:
    hooks = hooks_of('another')(FakeSegmenter())
    assert hooks.describe()['parameters'] is None
    with pytest.raises(ConfigError, match='--compare-naive: expected the back end instructsam'):
        hooks.segment_naively()
    with pytest.raises(ConfigError, match='--check: expected the back end instructsam'):
        hooks.check_accuracy(Frame(np.zeros((1, 1, 3), np.uint8)), Instruction('a'))
