"""Muon with AdamW: the size of a step, and resumed runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from instructsam_model import ConfigError
from instructsam_training.config.config_file import read_config
from instructsam_training.engine.loop import train
from instructsam_training.engine.muon import UPDATE_RMS, MuonAdamW, orthogonalize
from instructsam_training.engine.state import find_states
from tests.support.small_run import losses, weights


@pytest.mark.parametrize('shape', [(24, 64), (64, 24)])
def test_singular_values_become_nearly_equal(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 100, shape[1])
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    singular = torch.linalg.svdvals(orthogonalize(matrix))
    assert float(singular.min()) > 0.5
    assert float(singular.max()) < 1.3
    torch.testing.assert_close(torch.linalg.svdvals(left @ right + orthogonalize(matrix)), singular + 1)


def test_matrix_updates_have_the_size_of_adamw_updates() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix, vector, alone = (nn.Parameter(torch.ones(shape)) for shape in ((32, 64), (16,), (16,)))
    both = MuonAdamW(
        [{'params': [matrix], 'lr': 0.01, 'matrices': True}, {'params': [vector], 'lr': 0.01}], weight_decay=0.1
    )
    adamw = torch.optim.AdamW([alone], lr=0.01, weight_decay=0.1)
    for _ in range(3):
        before = matrix.detach().clone()
        matrix.grad = 1e-4 * torch.randn(matrix.shape, generator=generator)
        vector.grad = torch.randn(vector.shape, generator=generator)
        alone.grad = vector.grad.clone()
        both.step()
        adamw.step()
        step = matrix.detach() - before * (1 - 0.01 * 0.1)
        assert float(step.square().mean().sqrt()) == pytest.approx(0.01 * UPDATE_RMS, rel=0.3)
    assert torch.equal(vector, alone)


def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(run_file: Path, tmp_path: Path) -> None:
    config = read_config(run_file, ['stages.0.steps=5', 'stages.0.muon=2'])
    train(config)
    whole, expected = losses(tmp_path / 'run'), weights(tmp_path / 'run')
    folder = tmp_path / 'run' / 'one'
    shutil.rmtree(folder / 'merged')
    shutil.rmtree(find_states(folder / 'states')[-1])
    train(config)
    assert losses(tmp_path / 'run') == whole
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(tmp_path / 'run').items())


def test_sharded_matrices_are_refused(run_file: Path) -> None:
    with pytest.raises(ConfigError, match='muon: expected 0 with shard'):
        train(read_config(run_file, ['shard=true', 'stages.0.muon=2']))
