"""A run in several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from instructsam_model import ConfigError
from instructsam_training.cli.train import main
from instructsam_training.config.config_file import read_config
from instructsam_training.engine.distributed import check_device, check_trackers
from tests.support.small_run import ENVIRONMENT, losses, weights

# `accelerate launch --num_processes 2` starts only one process on a CPU.
LAUNCH = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']


@pytest.mark.parametrize('setting', ['shard=false', 'shard=true'], ids=['DDP', 'FSDP'])
def test_two_processes_compute_the_same_weights_as_one(
    uninterrupted: Path, run_file: Path, tmp_path: Path, setting: str
) -> None:
    command = [*LAUNCH, '-m', 'instructsam_training.cli.train', str(run_file), 'stages.0.steps=5', setting]
    output = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
    assert 'one: 5 steps, processes: 2' in output
    assert losses(tmp_path / 'run') == pytest.approx(losses(uninterrupted), abs=1e-5)
    for name, tensor in weights(tmp_path / 'run').items():
        # AdamW normalizes gradients by their size, so that mere rounding errors, as of a key's bias, become full steps.
        atol = 1e-4 if name.endswith('k_proj.bias') else 2e-5
        torch.testing.assert_close(
            tensor, weights(uninterrupted)[name], rtol=0, atol=atol, msg=lambda text, name=name: f'{name}: {text}'
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_device_that_is_not_there_is_an_error(run_file: Path) -> None:
    with pytest.raises(ConfigError, match='device: expected a GPU for cuda, torch finds none; use device=cpu'):
        check_device(read_config(run_file, ['device=cuda']))
    check_device(read_config(run_file, ['device=auto']))


def test_tracker_that_is_not_installed_is_an_error() -> None:
    check_trackers(['tensorboard'])
    with pytest.raises(ConfigError, match=r'trackers: clearml is not installed; .* choose from .*tensorboard'):
        check_trackers(['clearml'])


def test_command_says_what_is_wrong_without_a_traceback(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').touch()
    wrong = {
        f'out={tmp_path / "file"}': 'out: expected a folder',
        'device=cuda': 'device: expected a GPU',
        'trackers=[clearml]': 'trackers: clearml is not installed',
        'stages.0.data.folder=nowhere': 'nowhere: expected the folder of the training files',
        'start.checkpoint=nowhere': 'nowhere: ',
        'seed=-1': 'seed: expected 0 to 4294967295, got -1',
        'stages.0.save_every=0': 'stages.0.save_every: expected 1 to ',
        'stages.0.lora.rank=-3': 'stages.0.lora.rank: expected 0 to 4096, got -3',
        'stages.0.warmup=2': 'stages.0.warmup: expected 0 to 1, got 2',
        'stages.0.ema=1.0': 'stages.0.ema: expected 0 to 0.999999, got 1.0',
        'stages.0.data.workers=-1': 'stages.0.data.workers: expected 0 to 256, got -1',
        'stages.0.keep=0': 'stages.0.keep: expected 1 to 10000, got 0',
        'start.num_queries=0': 'start.num_queries: expected 1 to 1000, got 0',
    }
    for setting, message in wrong.items():
        if setting == 'device=cuda' and torch.cuda.is_available():
            continue
        assert main([str(run_file), setting]) == 2
        assert f'instructsam-train: error: {message}' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_error_of_the_first_process_ends_all_of_them(run_file: Path, tmp_path: Path) -> None:
    # No checkpoint can be written where a file is in the way.
    (tmp_path / 'run' / 'one').mkdir(parents=True)
    (tmp_path / 'run' / 'one' / 'states').touch()
    command = [*LAUNCH, '-m', 'instructsam_training.cli.train', str(run_file), 'stages.0.steps=2']
    errors = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False).stderr
    # From each process, instead of one that waits to be killed by torchrun.
    assert errors.count('instructsam-train: error: ') == 2
    assert 'states' in errors
