"""A run in several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
        atol = 1e-4 if name.endswith('k_proj.bias') else 1e-5
        torch.testing.assert_close(
            tensor, weights(uninterrupted)[name], rtol=0, atol=atol, msg=lambda text, name=name: f'{name}: {text}'
        )
