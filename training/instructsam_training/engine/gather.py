"""The present weights of a run, from all processes: exact for files, or copies for inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from instructsam_training.engine.state import FULL_STATE
from instructsam_training.engine.step import Run

ADAPTED = ('.lora_', '.base_layer.')
"""In the names of adapters and of the weights that they adapt."""


def gather_tensors(run: Run) -> dict[str, Tensor] | None:
    """Gather all tensors on the CPU, with adapters, in float32; every process calls it, and the first one gets them."""
    # Averaged weights, if there are any, replace the trained ones.
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=FULL_STATE), **run.ema}
    if not run.accelerator.is_main_process:
        return None
    # Gathered tensors may be views of larger ones, which safetensors does not write.
    on_cpu = {name: tensor.detach().cpu().to(torch.float32, copy=True) for name, tensor in tensors.items()}
    # Frozen weights that were rounded to bfloat16 get their exact values back.
    return on_cpu | run.rounded


def copy_tensors(run: Run, dtype: torch.dtype, *, is_sharded: bool) -> dict[str, Tensor] | None:
    """Copy all tensors, with adapters, to the device of the process for inference; every process calls it.

    The trained network itself is not changed, neither its mode nor its adapters.

    Args:
        run: the run.
        dtype: of the copies.
        is_sharded: the weights are sharded over the processes; only the first one then gets the copies.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=is_sharded)
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=options), **run.ema}
    if is_sharded and not run.accelerator.is_main_process:
        return None
    device = run.accelerator.device
    return {name: _copy(name, tensor, device, dtype) for name, tensor in (tensors | run.rounded).items()}


def _copy(name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    # Adapters are added in float32; all other weights need no more than their final precision.
    is_adapted = any(part in name for part in ADAPTED)
    return tensor.detach().to(device, torch.float32 if is_adapted else dtype, copy=True)
