"""Checkpoints of a run in progress; interrupted runs are tested in test_loop.

`state_before_0_1_0.json` holds the names and shapes in a checkpoint of the small run, written by the code before
version 0.1.0.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from instructsam_model import CheckpointError
from instructsam_model.weights import tensor_files
from instructsam_training.engine.state import RunState, find_states, read_last_state, restore_state, write_state
from tests.support.unprivileged import public_folder, unprivileged


def make_state(step: int) -> RunState:
    tensor = torch.full((2,), float(step))
    return RunState(
        step, {'a.weight': tensor, 'bias': torch.ones(1)}, {'a.weight|exp_avg': tensor.clone()}, {}, skipped=1
    )


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path, make_state(3), keep=2)
    read = read_last_state(tmp_path)
    assert read is not None
    assert (read.step, read.skipped) == (3, 1)
    assert torch.equal(read.trainable['a.weight'], torch.tensor([3.0, 3.0]))
    assert read.moments.keys() == {'a.weight|exp_avg'}
    assert read.ema == {}


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        write_state(tmp_path, make_state(step), keep=2)
    assert [folder.name for folder in find_states(tmp_path)] == ['step-00000004', 'step-00000006']


def test_folder_without_checkpoints_has_no_state(tmp_path: Path) -> None:
    assert read_last_state(tmp_path / 'missing') is None


DAMAGES = {
    'nan.trainable': 'trainable.safetensors: 2 of 2 tensors have values that are not finite .*: a.weight, bias',
    'inf.moments': 'moments.safetensors: 1 of 1 tensors have values that are not finite .*: a.weight.exp_avg',
    'truncated.moments': 'moments.safetensors: damaged',
    'removed.trainable': 'trainable.safetensors: damaged .FileNotFoundError',
    'truncated.state': 'state.json: damaged',
    'removed.state': 'state.json: damaged',
    'other.state': 'damaged .state.json is of step 9',
    'text.state': 'state.json: damaged .ValueError',
    'shape.moments': r'moments.safetensors: damaged .expected the shape \(2,\) for a.weight.exp_avg, got \(3,\)',
    'foreign.moments': 'moments.safetensors: damaged .expected a trained parameter for b.weight',
    'partial.moments': 'moments.safetensors: damaged .moments of a.weight are missing',
    'negative.moments': 'moments.safetensors: damaged .a.weight.exp_avg_sq has negative values',
    'lost.moments': 'moments.safetensors: damaged .no moments after 4 steps',
}

MOMENTS = {
    'shape': {'a.weight|exp_avg': torch.ones(3)},
    'foreign': {'b.weight|exp_avg': torch.ones(2)},
    'partial': {'a.weight|exp_avg': torch.ones(2), 'bias|exp_avg': torch.ones(1), 'bias|step': torch.ones(())},
    'negative': {'a.weight|exp_avg_sq': -torch.ones(2)},
    'lost': {},
}


def damage(folder: Path, how: str) -> None:
    kind, _, name = how.partition('.')
    file = folder / ('state.json' if name == 'state' else f'{name}.safetensors')
    if kind == 'removed':
        file.unlink()
    elif kind == 'truncated':
        file.write_bytes(file.read_bytes()[:-5])
    elif kind == 'other':
        file.write_text('{"step": 9}')
    elif kind == 'text':
        file.write_text('{"step": "four"}')
    elif kind in MOMENTS:
        save_file(MOMENTS[kind], file)
    else:
        save_file({name: torch.tensor([1.0, float(kind)]) for name in load_file(file)}, file)


@pytest.mark.parametrize('how', DAMAGES)
def test_run_resumes_from_the_last_good_checkpoint_and_says_so(how: str, tmp_path: Path) -> None:
    for step in (2, 4):
        write_state(tmp_path, make_state(step), keep=2)
    damage(tmp_path / 'step-00000004', how)
    said: list[str] = []
    last = read_last_state(tmp_path, said.append)
    assert last is not None
    assert last.step == 2
    [message] = said
    assert re.search(f'{DAMAGES[how]}.*; it is not used, the run resumes from step 2', message)
    # The next checkpoint is older than the damaged one, and must not be taken for the one to remove.
    write_state(tmp_path, make_state(3), keep=1)
    assert [path.name for path in find_states(tmp_path)] == ['step-00000003']
    assert (tmp_path / 'damaged-step-00000004').is_dir()
    damage(tmp_path / 'step-00000003', how)
    with pytest.raises(CheckpointError, match=f'step-00000003.*no checkpoint of the run is good: remove {tmp_path} to'):
        read_last_state(tmp_path)


@pytest.mark.parametrize('part', ['trainable', 'moments', 'ema'])
def test_checkpoint_that_is_not_finite_is_not_written(part: str, tmp_path: Path) -> None:
    write_state(tmp_path, make_state(2), keep=2)
    dead = replace(make_state(4), **{part: {'b': torch.tensor([0.0, math.nan])}})
    with pytest.raises(
        FloatingPointError, match=f'step-00000004: .* not written.*: {part} b; .* to resume from step 2'
    ):
        write_state(tmp_path, dead, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ['step-00000002']


def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, make_state(2), keep=2)

    def full(_: object, file: Path, **__: object) -> None:
        file.write_bytes(b'half')
        raise SafetensorError('Error while serializing: I/O error: No space left on device (os error 28)')

    monkeypatch.setattr(tensor_files, 'save_file', full)
    with pytest.raises(
        OSError, match=r'step-00000004: cannot be written: No space left on device; free some'
    ) as raised:
        write_state(tmp_path, make_state(4), keep=2)
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ['step-00000002']


def test_checkpoint_is_readable_by_others_and_a_private_one_is_not_damaged() -> None:
    with public_folder() as folder:
        state = write_state(folder, make_state(2), keep=2)
        mode = 0o666 & ~current_umask()
        assert {file.stat().st_mode & 0o777 for file in state.iterdir()} == {mode}
        (state / 'moments.safetensors').chmod(0o600 if os.geteuid() == 0 else 0)
        with unprivileged(), pytest.raises(CheckpointError, match=r'moments\.safetensors: .*permission denied; user'):
            read_last_state(folder)


def current_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_state_of_other_parameters_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path, make_state(2), keep=2)
    state = read_last_state(tmp_path)
    assert state is not None
    model = nn.ModuleDict({'a': nn.Linear(2, 1, bias=False)})
    with pytest.raises(CheckpointError, match=r'first is a\.weight: expected shape \(1, 2\), got \(2,\); train with'):
        restore_state(state, model, torch.optim.AdamW(model.parameters()))


def test_checkpoint_of_an_older_version_has_the_same_tensors(uninterrupted: Path) -> None:
    """The current code saves tensors of the same names and shapes, so it can load the checkpoints of the older code."""
    older = json.loads(Path(__file__).with_name('state_before_0_1_0.json').read_text())
    state = read_last_state(uninterrupted / 'one' / 'states')
    assert state is not None
    for part in ('trainable', 'moments', 'ema'):
        assert {name: list(tensor.shape) for name, tensor in getattr(state, part).items()} == older[part]
