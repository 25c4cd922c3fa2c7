"""Checkpoints to resume a run from, written atomically, as safetensors and JSON.

    step-00000500/trainable.safetensors    trained parameters
                  moments.safetensors      the optimizer's moments, `parameter|moment`
                  ema.safetensors          averaged parameters; empty without `ema`
                  state.json               the step, and how many steps were skipped

They hold no random states, because all randomness follows from the seed and the step. A checkpoint with values that
are not finite is neither written nor loaded: a run resumes from the last good one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from instructsam_model.errors import CheckpointError
from instructsam_model.files import check_readable, explain, write_atomically
from instructsam_model.weights.finite import check_finite, describe_nonfinite, nonfinite_names
from instructsam_model.weights.tensor_files import write_tensor_file

# Sharded tensors are gathered on the CPU of the first process.
FULL_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)
TRAINABLE_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
STATES = 'states'
"""Folder of the checkpoints in that of a stage."""
PREFIX = 'step-'
SET_ASIDE = 'damaged-'
"""Prefix of damaged checkpoints, once the run has passed them."""
PARTS = ('trainable', 'moments', 'ema')


@dataclass(frozen=True)
class RunState:
    """Content of a checkpoint.

    Attributes:
        step: number of steps done.
        trainable: trained parameters by name.
        moments: state of the optimizer, by `parameter|moment`.
        ema: averaged parameters by name; empty without `ema`.
        skipped: number of these steps that were skipped, because their gradient was not finite.
    """

    step: int
    trainable: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    skipped: int = 0


class DamagedStateError(Exception):
    """A checkpoint is incomplete, damaged or not finite; the run can resume from an earlier one."""


def gather_state(
    step: int, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Mapping[str, Tensor], skipped: int = 0
) -> RunState:
    """Gather the state of a run on the CPU; every process calls it, and the first one gets the result."""
    trainable: dict[str, Any] = get_model_state_dict(model, options=TRAINABLE_STATE)
    # Empty in all processes but the first.
    gathered: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=FULL_STATE)
    # safetensors stores no nested dictionaries.
    moments = {
        f'{name}|{key}': value for name, each in gathered.get('state', {}).items() for key, value in each.items()
    }
    return RunState(step, trainable, moments, ema, skipped)


def find_learned(model: nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    """Return the names of the parameters that had a gradient other than 0 in some step of AdamW.

    Every process calls it, and the first one gets the result.
    """
    moments = gather_state(0, model, optimizer, {}).moments
    squares = {key.rpartition('|')[0]: value for key, value in moments.items() if key.endswith('|exp_avg_sq')}
    return {name for name, square in squares.items() if bool(square.any())}


def restore_state(state: RunState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load a gathered state into the model and the optimizer; every process calls it with the same state.

    Raises:
        CheckpointError: it is the state of other parameters.
    """
    check_parameters(state, model)
    # Not strict: frozen parameters are not in the state.
    set_model_state_dict(
        model, dict(state.trainable), options=StateDictOptions(full_state_dict=True, strict=False, cpu_offload=False)
    )
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in state.moments.items():
        name, _, moment = key.rpartition('|')
        moments.setdefault(name, {})[moment] = value
    # Learning rates and other options are those of the configuration, not those of the interrupted run.
    groups = get_optimizer_state_dict(model, optimizer)['param_groups']
    content: dict[str, Any] = {'state': moments, 'param_groups': groups}
    set_optimizer_state_dict(model, optimizer, content, options=StateDictOptions(full_state_dict=True))


def check_parameters(state: RunState, model: nn.Module) -> None:
    """Compare the names and shapes of a state with those of the trained parameters of the model.

    Raises:
        CheckpointError: they differ, so that some parameters would start anew without a word.
    """
    own = {
        # DDP adds a prefix to the names.
        name.removeprefix('module.'): tuple(parameter.shape)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    given = {name: tuple(tensor.shape) for name, tensor in state.trainable.items()}
    wrong = [name for name, shape in own.items() if given.get(name) != shape]
    wrong += [name for name in given if name not in own]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f'checkpoint of step {state.step}: expected the {len(own)} parameters that this run trains, {len(wrong)} '
            f'differ; the first is {name}: expected shape {own.get(name, "of no parameter")}, got '
            f'{given.get(name, "none")}; train with the settings of that run, or in another folder'
        )


def write_state(folder: Path, state: RunState, keep: int) -> Path:
    """Write a checkpoint and remove all but the last `keep`.

    Checkpoints of later steps are those that could not be read when the run was resumed; they are renamed, so that the
    new ones do not seem older.

    Raises:
        FloatingPointError: a value is not finite; earlier checkpoints stay as they are.
        OSError: it cannot be written; earlier checkpoints stay as they are.
    """
    final = folder / f'{PREFIX}{state.step:08d}'
    check_state(final, state)
    with write_atomically(final) as draft:
        draft.mkdir()
        for name in PARTS:
            write_tensor_file(draft / f'{name}.safetensors', getattr(state, name))
        (draft / 'state.json').write_text(json.dumps({'step': state.step, 'skipped_steps': state.skipped}))
    set_aside(folder, state.step + 1)
    # Only now that the new one is complete.
    for old in find_states(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def set_aside(folder: Path, step: int) -> None:
    """Rename the checkpoints of a step and later ones, so that no run resumes from them."""
    for path in folder.glob(f'{PREFIX}*'):
        if path.name >= f'{PREFIX}{step:08d}':
            path.rename(unused_name(folder / f'{SET_ASIDE}{path.name}'))


def unused_name(path: Path) -> Path:
    """Return a path, with a number if it exists."""
    numbered = (path.with_name(f'{path.name}-{number}') for number in range(2, 10_000))
    return next(each for each in (path, *numbered) if not each.exists())


def check_state(final: Path, state: RunState) -> None:
    """Check that all values of a state are finite.

    Args:
        final: folder in which it is to be written.
        state: on the CPU.

    Raises:
        FloatingPointError: they are not; the message names the tensors.
    """
    tensors = {f'{part} {name}': tensor for part in PARTS for name, tensor in getattr(state, part).items()}
    wrong = nonfinite_names(tensors)
    if wrong:
        good = find_states(final.parent)
        advice = f'from step {int(good[-1].name.removeprefix(PREFIX))}' if good else 'from its beginning'
        raise FloatingPointError(
            f'{final}: this checkpoint is not written, because {describe_nonfinite(wrong, len(tensors))}; run the same '
            f'command again to resume {advice}; if it happens again, lower the learning rates (rates) or the norm of '
            'the gradient (clip)'
        )


def find_states(folder: Path) -> list[Path]:
    """Return the folders of the complete checkpoints, oldest first."""
    return sorted(path.parent for path in folder.glob(f'{PREFIX}*/state.json'))


def read_last_state(folder: Path, report: Callable[[str], object] = lambda _: None) -> RunState | None:
    """Read the newest good checkpoint; None if there is no checkpoint.

    Args:
        folder: of the checkpoints.
        report: is told about each checkpoint that is incomplete, damaged or not finite.

    Raises:
        CheckpointError: there are checkpoints, but no good one, or one may not be read.
    """
    damaged = []
    for path in sorted(folder.glob(f'{PREFIX}*'), reverse=True):
        try:
            state = read_state(path)
        except DamagedStateError as error:
            damaged.append(str(error))
            continue
        for message in damaged:
            report(f'{message}; it is not used, the run resumes from step {state.step}')
        return state
    if damaged:
        raise CheckpointError(
            f'{"; ".join(damaged)}; no checkpoint of the run is good: remove {folder} to start again from step 0'
        )
    return None


def read_state(path: Path) -> RunState:
    """Read one checkpoint.

    Raises:
        CheckpointError: it may not be read.
        DamagedStateError: it is incomplete, damaged or not finite; the message names the file and the tensor.
    """
    file = path / 'state.json'
    try:
        check_readable(path)
        check_readable(file)
        content = json.loads(file.read_text())
        step, skipped = int(content['step']), int(content.get('skipped_steps', 0))
        parts = {}
        for name in PARTS:
            file = path / f'{name}.safetensors'
            check_readable(file)
            parts[name] = load_file(file)
            check_finite(file, parts[name], 'the run diverged or the file is damaged')
        state = RunState(step, **parts, skipped=skipped)
    except PermissionError as error:
        raise CheckpointError(f'{file}: this checkpoint cannot be read: {explain(error, file)}') from error
    except CheckpointError as error:
        raise DamagedStateError(str(error)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise DamagedStateError(f'{file}: damaged ({type(error).__name__}: {error})') from error
    if path.name != f'{PREFIX}{state.step:08d}':
        raise DamagedStateError(f'{path}: damaged (state.json is of step {state.step})')
    check_moments(path / 'moments.safetensors', state)
    return state


def check_moments(file: Path, state: RunState) -> None:
    """Check that the optimizer can go on with its moments: those of a parameter have its shape, and none is lost.

    Raises:
        DamagedStateError: it cannot; it would fail in the next step, or start anew without a word.
    """
    kinds: dict[str, set[str]] = {}
    for key, moment in state.moments.items():
        name, _, kind = key.rpartition('|')
        kinds.setdefault(name, set()).add(kind)
        parameter = state.trainable.get(name)
        # Step counts are scalars.
        if parameter is None or moment.shape not in (parameter.shape, ()):
            expected = 'a trained parameter' if parameter is None else f'the shape {tuple(parameter.shape)}'
            raise DamagedStateError(f'{file}: damaged (expected {expected} for {key}, got {tuple(moment.shape)})')
        if kind == 'exp_avg_sq' and moment.lt(0).any():
            raise DamagedStateError(f'{file}: damaged ({key} has negative values)')
    for name, own in kinds.items():
        # Muon and AdamW have different ones; a parameter without a gradient has none.
        if any(own < other for other in kinds.values()):
            raise DamagedStateError(f'{file}: damaged (moments of {name} are missing)')
    if not kinds and state.trainable and state.step > state.skipped:
        raise DamagedStateError(f'{file}: damaged (no moments after {state.step} steps)')
