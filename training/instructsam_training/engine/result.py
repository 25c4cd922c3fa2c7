"""The weights of a stage as a network in the published layout: with merged adapters, and averaged if `ema` is set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from instructsam_model.instructsam.checkpoint import build_empty
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.sam3.boxes import keep_float32
from instructsam_training.engine.state import FULL_STATE
from instructsam_training.engine.step import Run
from instructsam_training.families.instructsam.trainable import merge_adapters

CPU = torch.device('cpu')


def gather_network(run: Run, config: ModelConfig) -> InstructSAM | None:
    """Gather the exact weights on the CPU, in float32; every process calls it, and the first one gets the network."""
    # Averaged weights, if there are any, replace the trained ones.
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=FULL_STATE), **run.ema}
    if not run.accelerator.is_main_process:
        return None
    # Gathered tensors may be views of larger ones, which safetensors does not write.
    return _build({name: _copy(tensor, CPU, torch.float32) for name, tensor in tensors.items()}, run, config)


def copy_network(run: Run, config: ModelConfig, dtype: torch.dtype, *, sharded: bool) -> InstructSAM | None:
    """Copy the weights for inference on the device of the process; every process calls it.

    The trained network itself is not changed, neither its mode nor its adapters.

    Args:
        run: the run.
        config: of the network.
        dtype: of the copied parameters.
        sharded: the weights are sharded over the processes; only the first one then gets the copy.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=sharded)
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=options), **run.ema}
    if sharded and not run.accelerator.is_main_process:
        return None
    device = run.accelerator.device
    # Adapters are added in float32; all other weights need no more than their final precision.
    adapted = ('.lora_', '.base_layer.')
    copies = {
        name: _copy(tensor, device, torch.float32 if any(part in name for part in adapted) else dtype)
        for name, tensor in tensors.items()
    }
    network = _build(copies, run, config).to(dtype)
    network.tie_weights()
    keep_float32(network.model.grounding_model.model.detr_decoder)
    return network.to(device).requires_grad_(False).eval()


def _build(tensors: dict[str, Tensor], run: Run, config: ModelConfig) -> InstructSAM:
    # Frozen weights that were rounded to bfloat16 get their exact values back.
    exact = {name: _copy(value, tensors[name].device, tensors[name].dtype) for name, value in run.rounded.items()}
    network = build_empty(config)
    network.load_state_dict(merge_adapters(tensors | exact, run.stage.lora), assign=True)
    return network


def _copy(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(device, dtype, copy=True)
