"""Adapters in training: written in PEFT's layout when a stage ends, and loaded to go on training them.

`instructsam_model/instructsam/adapter.py` describes the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import peft
import torch
from torch import Tensor

from instructsam_model.backends import resolve_checkpoint
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.instructsam.adapter import (
    A_SUFFIX,
    ADAPTER_WEIGHTS_FILE,
    B_SUFFIX,
    FINGERPRINT_KEY,
    PREFIX,
    Adapter,
)
from instructsam_model.instructsam.base_fingerprint import fingerprint_of
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.weights.tensor_files import find_tensors, iterate_tensors, write_tensor_file
from instructsam_training.config.options import LoraConfig
from instructsam_training.families.instructsam.trainable import LORA_A_SUFFIX, LORA_B_SUFFIX


def write_adapter(folder: Path, tensors: Mapping[str, Tensor], lora: LoraConfig, base: str) -> int:
    """Write what a run changed in its base checkpoint, atomically.

    Args:
        folder: replaced if it exists.
        tensors: all tensors of the trained network on the CPU, with its adapters, in float32.
        lora: options of the adapters.
        base: checkpoint that the run started from.

    Returns:
        The number of bytes of the weights.

    Raises:
        CheckpointError: the base checkpoint cannot be read, or nothing was changed.
    """
    checkpoint = resolve_checkpoint(base).path
    saved = _factors(tensors) | changed_weights(tensors, checkpoint)
    if not any(tensor.any() for name, tensor in saved.items() if not name.endswith(A_SUFFIX)):
        raise CheckpointError(
            f'{folder}: the run changed no weight of {base}; an adapter without effect is not written'
        )
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=sorted(name.removesuffix(A_SUFFIX) for name in saved if name.endswith(A_SUFFIX)),
        bias='none',
        inference_mode=True,
        base_model_name_or_path=base,
    )
    metadata = {'format': 'pt', FINGERPRINT_KEY: fingerprint_of(checkpoint).to_json()}
    with write_atomically(folder) as draft:
        draft.mkdir()
        config.save_pretrained(str(draft))
        # Own memory: gathered tensors may be views of larger ones.
        named = {PREFIX + name: tensor.to(torch.float32, copy=True).contiguous() for name, tensor in saved.items()}
        write_tensor_file(draft / ADAPTER_WEIGHTS_FILE, named, metadata)
    return (folder / ADAPTER_WEIGHTS_FILE).stat().st_size


def changed_weights(tensors: Mapping[str, Tensor], checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights beside the adapters that are not those of the checkpoint any more, by name."""
    trained = {name.replace('.base_layer.', '.'): tensor for name, tensor in tensors.items() if '.lora_' not in name}
    found = find_tensors(checkpoint)
    original = iterate_tensors(
        {name: found[name] for name in found if name in trained}, device=torch.device('cpu'), dtype=torch.float32
    )
    return {name: trained[name] for name, weight in original if not torch.equal(weight, trained[name].float())}


@torch.no_grad()
def load_factors(network: InstructSAM, adapter: Adapter, lora: LoraConfig) -> None:
    """Put the factors of an adapter into the adapters of a network, or into its weights if it has none.

    The weights that the adapter trained as a whole are in the network already.

    Raises:
        ConfigError: the adapters of the network have another rank or scale, or lack a layer.
    """
    parameters = dict(network.named_parameters())
    if not lora.rank:
        for name in adapter.factors:
            parameters[name].copy_(adapter.apply(name, parameters[name]))
        return
    if (lora.rank, lora.alpha / lora.rank) != (adapter.rank, adapter.scale):
        raise ConfigError(
            f'lora: expected rank {adapter.rank} and alpha {adapter.scale * adapter.rank:g} of the adapter '
            f'{adapter.folder}, got {lora.rank} and {lora.alpha}; set them, or merge it into a checkpoint first '
            '(python -m instructsam_training.cli.publish)'
        )
    for name, factors in adapter.factors.items():
        module = name.removesuffix('.weight')
        for suffix, factor in zip((LORA_A_SUFFIX, LORA_B_SUFFIX), factors, strict=True):
            if module + suffix not in parameters:
                raise ConfigError(
                    f'lora: the adapter {adapter.folder} adapts {module}, this run does not; '
                    'set the same lora.layers and rates as in its run, or merge it into a checkpoint first'
                )
            parameters[module + suffix].copy_(factor)


def _factors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the factors under PEFT's names in files, which lack the name of the adapter."""
    suffixes = {LORA_A_SUFFIX: A_SUFFIX, LORA_B_SUFFIX: B_SUFFIX}
    return {
        name.removesuffix(ours) + theirs: tensor
        for name, tensor in tensors.items()
        for ours, theirs in suffixes.items()
        if name.endswith(ours)
    }
