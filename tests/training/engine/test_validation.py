"""Validation during a stage: it changes no step, and keeps the best weights.

Covers engine.best, engine.gather, evaluation.validation, evaluation.report.sheet and config.validation_options.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from instructsam_model.errors import ConfigError
from instructsam_training.cli.evaluate import main as evaluate
from instructsam_training.config.config_file import read_config
from instructsam_training.engine.loop import train
from instructsam_training.engine.metrics_logger import read_lines
from tests.support.small_run import COMMAND, ENVIRONMENT, GOLDEN, losses, weights, write_run

DATA = GOLDEN / 'eval_inst2seg.json'
OPTIONS = {'benchmark': 'inst2seg', 'data': str(DATA), 'limit': 6, 'every': 4, 'sheet_images': 4}
LAUNCH = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']


def setting(**changes: Any) -> str:
    return f'stages.0.validation={yaml.safe_dump({**OPTIONS, **changes}, default_flow_style=True)}'


def validated(folder: Path) -> dict[int, float]:
    """The mAP of each validation of a run, by step."""
    lines = read_lines(folder / 'one' / 'metrics.jsonl')
    return {line['step']: line['validation/mAP'] for line in lines if 'validation/mAP' in line}


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run of the other tests, with validation."""
    folder = tmp_path_factory.mktemp('validated')
    train(read_config(write_run(folder), ['stages.0.steps=5', setting()]))
    return folder / 'run'


def test_run_with_validation_takes_the_same_steps(run: Path, uninterrupted: Path) -> None:
    assert losses(run) == losses(uninterrupted)
    assert [*validated(run)] == [4, 5]
    assert len([key for key in read_lines(run / 'one' / 'metrics.jsonl')[0] if key.startswith('rate/')]) == 4


def test_best_weights_are_kept_and_are_the_result(run: Path, tmp_path: Path) -> None:
    """Their metrics are those that `instructsam-eval` computes for the checkpoint."""
    folder, metrics = run / 'one', validated(run)
    best = json.loads((folder / 'best' / 'validation.json').read_text())
    assert best['step'] == max(metrics, key=lambda step: metrics[step])
    assert (best['metric'], best['metrics']['mAP']) == ('mAP', max(metrics.values()))
    kept = load_file(folder / 'best' / 'merged' / 'model.safetensors')
    assert all(torch.equal(tensor, kept[name]) for name, tensor in weights(run).items())
    assert [path.name for path in folder.glob('best-*')] == [f'best-{best["step"]:08d}']
    checkpoint = ['--checkpoint', str(folder / 'merged'), '--device', 'cpu', '--dtype', 'float32']
    assert evaluate(['inst2seg', '--data', str(DATA), '--limit', '6', '--out', str(tmp_path), *checkpoint]) == 0
    report = json.loads((tmp_path / 'report.json').read_text())
    assert {name: report['overall'][name] for name in best['metrics']} == best['metrics']


def test_sheets_and_curves_are_images(run: Path) -> None:
    sheets = sorted(file.name for file in (run / 'one').glob('validation-*.png'))
    assert sheets == ['validation-00000004.png', 'validation-00000005.png']
    with Image.open(run / 'one' / sheets[0]) as sheet:
        assert sheet.size == (976, 596)  # two rows of three
    assert (run / 'one' / 'curves.png').stat().st_size > 10_000


def test_resumed_run_keeps_best_weights_and_patience(run: Path, tmp_path: Path) -> None:
    """The state of the run is at step 5 of 9; the validations after the best one have used up the patience."""
    shutil.copytree(run, tmp_path / 'run', symlinks=True)
    shutil.rmtree(tmp_path / 'run' / 'one' / 'merged')
    metrics = validated(run)
    best = max(metrics, key=lambda step: metrics[step])
    patience = sum(step > best for step in metrics)
    assert patience
    config = read_config(write_run(tmp_path), ['stages.0.steps=9', setting(patience=patience)])
    train(config, ('stages.0.steps', 'stages.0.validation.patience'))
    assert validated(tmp_path / 'run') == metrics
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(tmp_path / 'run').items())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'benchmark': 'inst2sag'}, 'did you mean inst2seg'),
        ({'data': str(GOLDEN / 'train.json')}, 'got a training file in the published format'),
        ({'images': '/nowhere'}, 'images cannot be used'),
        ({'split': 'val'}, 'split: expected one of test'),
        ({'data': ''}, 'stages.0.validation.data: expected the data of the validation'),
        ({'every': 0}, 'stages.0.validation.every: expected 1 to'),
        ({'patience': -1}, 'stages.0.validation.patience: expected 0 to'),
    ],
)
def test_unusable_validation_is_an_error_before_the_first_step(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(read_config(write_run(tmp_path), [setting(**changes)]))
    assert not (tmp_path / 'run' / 'one').exists()


def test_other_objectives_are_not_validated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='validation: expected the objective full, got detector'):
        read_config(write_run(tmp_path), ['stages.0.objective=detector', setting()])


@pytest.mark.slow
def test_stage_ends_early_with_the_best_weights(tmp_path: Path) -> None:
    """At learning rates near 0 nothing improves after the first validation."""
    rates = f'stages.0.rates={dict.fromkeys(("llm", "projector", "vision", "decoder"), 1e-30)}'
    train(read_config(write_run(tmp_path), ['stages.0.steps=20', rates, setting(every=1, patience=2)]))
    assert [*validated(tmp_path / 'run')] == [1, 2, 3]
    assert json.loads((tmp_path / 'run' / 'one' / 'best' / 'validation.json').read_text())['step'] == 1
    assert (tmp_path / 'run' / 'one' / 'merged' / 'config.json').exists()


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['shard=false', 'shard=true'], ids=['DDP', 'FSDP'])
def test_two_processes_validate_as_one(run: Path, run_file: Path, tmp_path: Path, mode: str) -> None:
    command = [*LAUNCH, '-m', 'instructsam_training.cli.train', str(run_file), 'stages.0.steps=5', mode, setting()]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    assert validated(tmp_path / 'run') == pytest.approx(validated(run), abs=0.02)
    assert losses(tmp_path / 'run') == pytest.approx(losses(run), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('sent', [signal.SIGKILL, signal.SIGTERM], ids=['killed', 'stopped'])
def test_run_interrupted_in_a_validation_repeats_it(
    run: Path, run_file: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    command = [*COMMAND, str(run_file), 'stages.0.steps=5', setting()]
    lines, deadline = tmp_path / 'run' / 'one' / 'metrics.jsonl', time.monotonic() + 120
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(read_lines(lines)) < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(sent)
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    assert validated(tmp_path / 'run') == validated(run)
    assert losses(tmp_path / 'run') == losses(run)
