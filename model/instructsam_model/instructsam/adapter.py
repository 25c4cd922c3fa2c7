"""`Adapter`: what fine-tuning changed in a checkpoint, in PEFT's layout; it is added to weights while they are read.

    adapter_config.json            PEFT's LoraConfig: rank, alpha, adapted modules, name of the base checkpoint
    adapter_model.safetensors      `base_model.model.<module>.lora_A.weight` and `.lora_B.weight`, and under
                                   `base_model.model.<name>` the weights that were trained as a whole

The header of the second file holds the fingerprint of the base checkpoint, because an adapter on another one gives
wrong masks without an error. PEFT itself is not needed to load an adapter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.base_fingerprint import BaseFingerprint, fingerprint_of
from instructsam_model.weights.finite import check_finite
from instructsam_model.weights.hub import ADAPTER_CONFIG_FILE, read_json, resolve_path
from instructsam_model.weights.tensor_files import Shape

ADAPTER_WEIGHTS_FILE = 'adapter_model.safetensors'
FINGERPRINT_KEY = 'instructsam_base'
PREFIX = 'base_model.model.'
A_SUFFIX, B_SUFFIX = '.lora_A.weight', '.lora_B.weight'
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    'use_dora': (None, False),
    'bias': (None, 'none'),
    'rank_pattern': (None, {}),
    'alpha_pattern': (None, {}),
    'fan_in_fan_out': (None, False),
    'lora_bias': (None, False),
}
"""Options of PEFT that change what the tensors mean, and the values with which they do not."""


@dataclass(frozen=True)
class Adapter:
    """A fine-tuned difference to a checkpoint.

    Attributes:
        folder: its files.
        base: name of its base checkpoint, as in the configuration of the run.
        fingerprint: of its base checkpoint.
        rank: of the factors.
        scale: alpha / rank, the factor of their product.
        factors: A [rank, in] and B [out, rank], by the name of the weight [out, in] to which B A is added.
        tensors: weights that were trained as a whole, by name.
    """

    folder: Path
    base: str
    fingerprint: BaseFingerprint
    rank: int
    scale: float
    factors: Mapping[str, tuple[Tensor, Tensor]]
    tensors: Mapping[str, Tensor]

    def check(self, checkpoint: Path, shapes: Mapping[str, Shape]) -> None:
        """Check that a checkpoint is the base of this adapter.

        Args:
            checkpoint: folder of the checkpoint.
            shapes: of its tensors.

        Raises:
            CheckpointError: it is another one, or a tensor of the adapter does not fit.
        """
        difference = self.fingerprint.difference(fingerprint_of(checkpoint))
        if difference:
            raise CheckpointError(
                f'{self.folder}: an adapter of the checkpoint {self.base!r}, got {checkpoint}, which has {difference}; '
                'load it with its own base checkpoint'
            )
        for name, shape in self._changed_shapes().items():
            if name not in shapes:
                raise CheckpointError(f'{self.folder}: the adapter changes {name}, which {checkpoint} does not have')
            if shape != shapes[name]:
                raise CheckpointError(
                    f'{self.folder}: {name}: expected the shape {list(shapes[name])} of the checkpoint, '
                    f'got {list(shape)} from the adapter'
                )

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """Return the fine-tuned weight of this name, in the precision and on the device of the given one."""
        if name in self.tensors:
            return self.tensors[name].to(weight)
        if name not in self.factors:
            return weight
        factor_a, factor_b = (factor.to(weight.device, torch.float32) for factor in self.factors[name])
        return (weight.float() + self.scale * (factor_b @ factor_a)).to(weight.dtype)

    def _changed_shapes(self) -> dict[str, Shape]:
        products = {name: (b.shape[0], a.shape[1]) for name, (a, b) in self.factors.items()}
        return products | {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


def read_adapter(source: str | Path) -> Adapter:
    """Read an adapter: a folder, or an id on the hub.

    Raises:
        CheckpointError: a file is missing or damaged, a tensor is not finite or does not fit the configuration, or the
            adapter does not say what its base checkpoint is.
    """
    folder = resolve_path(source)
    if not folder.is_dir():
        raise CheckpointError(f'{folder}: expected the folder of an adapter, got a file')
    config = _read_config(folder)
    tensors, metadata = _read_tensors(folder / ADAPTER_WEIGHTS_FILE)
    factors, whole = _sort(folder, tensors, config['r'])
    rank, alpha = config['r'], config['lora_alpha']
    return Adapter(
        folder=folder,
        base=str(config.get('base_model_name_or_path') or ''),
        fingerprint=_read_fingerprint(folder, metadata),
        rank=rank,
        scale=alpha / (math.sqrt(rank) if config.get('use_rslora') else rank),
        factors=factors,
        tensors=whole,
    )


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / ADAPTER_CONFIG_FILE
    if not file.is_file():
        is_checkpoint = (folder / 'config.json').is_file()
        hint = '; it is a whole checkpoint, give it as the checkpoint' if is_checkpoint else ''
        raise CheckpointError(f'{file}: no such file; every adapter has one{hint}')
    config = read_json(file)
    if config.get('peft_type') != 'LORA':
        raise CheckpointError(f"{file}: peft_type: expected 'LORA', got {config.get('peft_type')!r}")
    rank, alpha = config.get('r'), config.get('lora_alpha', math.nan)
    if type(rank) is not int or rank < 1 or type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise CheckpointError(
            f'{file}: expected a rank r of at least 1 and a number lora_alpha, got {rank!r}, {alpha!r}'
        )
    for key, allowed in UNSUPPORTED.items():
        if config.get(key) not in allowed:
            raise CheckpointError(
                f'{file}: {key}: expected {allowed[-1]!r}, got {config[key]!r}, which is not supported'
            )
    return config


def _read_tensors(file: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read all tensors, which are finite, and the metadata of the file."""
    if not file.is_file():
        other = file.with_suffix('.bin').name
        hint = f'; {other} is not read, convert it to safetensors' if file.with_suffix('.bin').exists() else ''
        raise CheckpointError(f'{file}: no such file; the adapter is incomplete{hint}')
    try:
        with safe_open(file, framework='pt') as source:
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
            metadata = source.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file}: expected a complete safetensors file ({error}); copy it again') from error
    if not tensors:
        raise CheckpointError(f'{file}: expected tensors, found none')
    check_finite(file, tensors, 'train it again')
    return tensors, metadata


def _read_fingerprint(folder: Path, metadata: Mapping[str, str]) -> BaseFingerprint:
    file = folder / ADAPTER_WEIGHTS_FILE
    if FINGERPRINT_KEY not in metadata:
        raise CheckpointError(
            f'{file}: the adapter does not say which checkpoint it was trained on (no {FINGERPRINT_KEY} in the '
            'metadata of the file), so it cannot be checked; use one that instructsam-train wrote'
        )
    try:
        return BaseFingerprint.from_json(metadata[FINGERPRINT_KEY])
    except ValueError as error:
        raise CheckpointError(f'{file}: {FINGERPRINT_KEY}: {error}') from None


def _sort(
    folder: Path, tensors: Mapping[str, Tensor], rank: int
) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Return the pairs of factors by the name of their weight, and the whole weights.

    Raises:
        CheckpointError: a name is unknown, a factor lacks its partner, or its rank is not that of the configuration.
    """
    file = folder / ADAPTER_WEIGHTS_FILE
    factors, whole = {}, {}
    for name, tensor in tensors.items():
        if not name.startswith(PREFIX):
            raise CheckpointError(f'{file}: {name}: expected a name that begins with {PREFIX}')
        own = name.removeprefix(PREFIX)
        if own.endswith(A_SUFFIX):
            module = own.removesuffix(A_SUFFIX)
            pair = (tensor, tensors.get(f'{PREFIX}{module}{B_SUFFIX}'))
            factors[f'{module}.weight'] = _checked_pair(file, module, pair, rank)
        elif own.endswith(B_SUFFIX):
            if f'{PREFIX}{own.removesuffix(B_SUFFIX)}{A_SUFFIX}' not in tensors:
                raise CheckpointError(f'{file}: {name}: expected lora_A beside lora_B, found none')
        elif '.lora_' in own:
            raise CheckpointError(f'{file}: {name}: expected lora_A.weight or lora_B.weight of a linear layer')
        else:
            whole[own] = tensor
    return factors, whole


def _checked_pair(file: Path, module: str, pair: tuple[Tensor, Tensor | None], rank: int) -> tuple[Tensor, Tensor]:
    factor_a, factor_b = pair
    if factor_b is None:
        raise CheckpointError(f'{file}: {module}: expected lora_B beside lora_A, found none')
    if factor_a.ndim != 2 or factor_b.ndim != 2 or factor_a.shape[0] != rank or factor_b.shape[1] != rank:
        raise CheckpointError(
            f'{file}: {module}: expected lora_A [{rank}, in] and lora_B [out, {rank}] of the rank r in '
            f'{ADAPTER_CONFIG_FILE}, got {list(factor_a.shape)} and {list(factor_b.shape)}'
        )
    return factor_a, factor_b
