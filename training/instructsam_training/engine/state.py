"""Checkpoints to resume a run from, written atomically, as safetensors and JSON.

    step-00000500/trainable.safetensors    trained parameters
                  moments.safetensors      the optimizer's moments, `parameter|moment`
                  ema.safetensors          averaged parameters; empty without `ema`
                  state.json               the step

They hold no random states, because all randomness follows from the seed and the step.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from instructsam_model.errors import CheckpointError
from instructsam_model.files import write_atomically

# Sharded tensors are gathered on the CPU of the first process.
FULL_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)
TRAINABLE_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
PREFIX = 'step-'


@dataclass(frozen=True)
class RunState:
    """Content of a checkpoint.

    Attributes:
        step: number of steps done.
        trainable: trained parameters by name.
        moments: state of the optimizer, by `parameter|moment`.
        ema: averaged parameters by name; empty without `ema`.
    """

    step: int
    trainable: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]


def gather_state(step: int, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Mapping[str, Tensor]) -> RunState:
    """Gather the state of a run on the CPU; every process calls it, and the first one gets the result."""
    trainable: dict[str, Any] = get_model_state_dict(model, options=TRAINABLE_STATE)
    # Empty in all processes but the first.
    gathered: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=FULL_STATE)
    # safetensors stores no nested dictionaries.
    moments = {
        f'{name}|{key}': value for name, each in gathered.get('state', {}).items() for key, value in each.items()
    }
    return RunState(step, trainable, moments, ema)


def restore_state(state: RunState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load a gathered state into the model and the optimizer; every process calls it with the same state."""
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


def write_state(folder: Path, state: RunState, keep: int) -> Path:
    """Write a checkpoint and remove all but the last `keep`.

    Raises:
        OSError: it cannot be written; earlier checkpoints stay as they are.
    """
    final = folder / f'{PREFIX}{state.step:08d}'
    with write_atomically(final) as draft:
        draft.mkdir()
        for name in ('trainable', 'moments', 'ema'):
            tensors = {key: tensor.contiguous() for key, tensor in getattr(state, name).items()}
            save_file(tensors, draft / f'{name}.safetensors')
        (draft / 'state.json').write_text(json.dumps({'step': state.step}))
    # Only now that the new one is complete.
    for old in find_states(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def find_states(folder: Path) -> list[Path]:
    """Return the folders of the complete checkpoints, oldest first."""
    return sorted(path.parent for path in folder.glob(f'{PREFIX}*/state.json'))


def read_last_state(folder: Path) -> RunState | None:
    """Read the newest checkpoint; None if there is no checkpoint.

    Raises:
        CheckpointError: it is damaged; the message says which folder to remove.
    """
    states = find_states(folder)
    if not states:
        return None
    newest = states[-1]
    try:
        step = json.loads((newest / 'state.json').read_text())['step']
        parts = {name: load_file(newest / f'{name}.safetensors') for name in ('trainable', 'moments', 'ema')}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f'{newest}: damaged ({error}); remove it to resume from the checkpoint before it'
        ) from error
    return RunState(step, **parts)
