"""python -m instructsam_model.sam3i.convert: the public layout becomes ours, over the same SAM3 only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from instructsam_model.sam3i.checkpoint import read_sam3i
from instructsam_model.sam3i.convert import main
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.hub import resolve_source
from tests.support.tiny_sam3 import write_tiny_sam3

SIZES = ['--adapter-heads', '2', '--adapter-scale', '0.5']


def test_adapters_are_written_over_the_named_sam3(
    public: Path, delta: Path, network: Sam3I, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, folder = delta.with_name('delta_base'), tmp_path / 'converted'
    assert main([str(public), str(folder), '--base', str(base), *SIZES]) == 0
    assert f'M parameters over {base}' in capsys.readouterr().out
    loaded = read_sam3i(resolve_source(folder), device=torch.device('cpu'), dtype=torch.float32)
    assert loaded.stage == '3'
    own, expected = loaded.network.state_dict(), network.state_dict()
    assert [name for name in expected if not torch.equal(own[name], expected[name])] == []
    assert main([str(public), str(folder), '--base', str(base)]) == 2
    assert 'exists; choose a new folder' in capsys.readouterr().err


def test_another_sam3_is_refused(public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_tiny_sam3(tmp_path / 'other', seed=1)
    assert main([str(public), str(tmp_path / 'converted'), '--base', str(other), *SIZES]) == 2
    assert 'its SAM3 is not' in capsys.readouterr().err
    assert not (tmp_path / 'converted').exists()
