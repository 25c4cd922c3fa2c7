"""Checkpoints of a run in progress; interrupted runs are tested in test_loop.

`state_before_0_1_0.json` holds the names and shapes in a checkpoint of the small run, written by the code before
version 0.1.0.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from instructsam_model import CheckpointError
from instructsam_training.engine.state import RunState, find_states, read_last_state, write_state


def make_state(step: int) -> RunState:
    tensor = torch.full((2,), float(step))
    return RunState(step, {'a.weight': tensor}, {'a.weight|exp_avg': tensor}, {})


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path, make_state(3), keep=2)
    read = read_last_state(tmp_path)
    assert read is not None
    assert read.step == 3
    assert torch.equal(read.trainable['a.weight'], torch.tensor([3.0, 3.0]))
    assert read.moments.keys() == {'a.weight|exp_avg'}
    assert read.ema == {}


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        write_state(tmp_path, make_state(step), keep=2)
    assert [folder.name for folder in find_states(tmp_path)] == ['step-00000004', 'step-00000006']


def test_folder_without_checkpoints_has_no_state(tmp_path: Path) -> None:
    assert read_last_state(tmp_path / 'missing') is None


def test_incomplete_checkpoint_is_ignored_and_damaged_one_is_an_error(tmp_path: Path) -> None:
    write_state(tmp_path, make_state(2), keep=2)
    (tmp_path / 'step-00000004').mkdir()
    last = read_last_state(tmp_path)
    assert last is not None
    assert last.step == 2
    (tmp_path / 'step-00000002' / 'trainable.safetensors').write_bytes(b'half')
    with pytest.raises(CheckpointError, match=r'step-00000002: damaged .*; remove it to resume'):
        read_last_state(tmp_path)


def test_checkpoint_of_an_older_version_has_the_same_tensors(uninterrupted: Path) -> None:
    """The current code saves tensors of the same names and shapes, so it can load the checkpoints of the older code."""
    older = json.loads(Path(__file__).with_name('state_before_0_1_0.json').read_text())
    state = read_last_state(uninterrupted / 'one' / 'states')
    assert state is not None
    for part in ('trainable', 'moments', 'ema'):
        assert {name: list(tensor.shape) for name, tensor in getattr(state, part).items()} == older[part]
