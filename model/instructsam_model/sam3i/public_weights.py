"""Tensors of the public code of SAM3-I (debby-0527/SAM3-I): SAM3's under the names of `transformers`, and the rest."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.sam3.meta_weights import convert_tensors
from instructsam_model.sam3i import names


def split_tensors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split the tensors of a complete public checkpoint.

    Args:
        tensors: by public names, with or without the prefix `detector.`.

    Returns:
        The tensors of SAM3 by the names of `transformers.Sam3Model`, and those that SAM3-I adds by public names.

    Raises:
        CheckpointError: a name is neither SAM3's nor SAM3-I's, or the three copies of the projector differ.
    """
    named = {name.removeprefix('detector.'): tensor for name, tensor in tensors.items()}
    # The unused text encoder has adapters too.
    named = {name: tensor for name, tensor in named.items() if not name.startswith(names.UNUSED_TEXT_ENCODER)}
    # Before any name is converted: those of the adapters resemble those of the layers that they are in.
    added = {name: tensor for name, tensor in named.items() if names.is_added(name)}
    base = {name: tensor for name, tensor in named.items() if name not in added}
    return convert_tensors(base), _without_repeated(added)


def infer_adapter_dim(added: Mapping[str, Tensor]) -> int:
    """Return the width of the adapters, from the tensors that SAM3-I adds.

    Raises:
        CheckpointError: there are no adapters, or adapters of several widths.
    """
    sizes = {len(tensor) for name, tensor in added.items() if name.endswith('.down_proj.weight')}
    if len(sizes) != 1:
        raise CheckpointError(f"expected SAM3-I's adapters of one width (down_proj), got widths {sorted(sizes)}")
    return sizes.pop()


def _without_repeated(added: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the further names of the projector.

    Raises:
        CheckpointError: the projectors differ, as in a network with one for each level.
    """
    kept = {name: tensor for name, tensor in added.items() if not name.startswith(names.REPEATED_PROJECTORS)}
    for name in added.keys() - kept.keys():
        first = names.PREFIXES['projector.'] + name.partition('.')[2]
        if first not in kept or not torch.equal(kept[first], added[name]):
            raise CheckpointError(f'{name}: expected the same values as {first}, one projector for all levels')
    return kept
