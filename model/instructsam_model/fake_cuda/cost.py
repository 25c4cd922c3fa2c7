"""Cost of an operation on a GPU: launches, floating-point operations, and memory traffic."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

from instructsam_model.fake_cuda.known import written_tensors

aten = torch.ops.aten

NO_LAUNCH = {
    aten._unsafe_view,
    aten.detach,
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.lift_fresh,
    aten.new_empty,
    aten.new_empty_strided,
    aten.set_,
    aten.resize_,
}
"""Operations without a kernel: allocations, and views whose schema does not say so."""

LAUNCHES = {
    aten.argsort: 4,
    aten.cumsum: 2,
    aten.index_put: 2,  # a copy, then the write
    aten.masked_fill: 2,  # a copy, then the fill
    aten.masked_scatter: 5,
    aten.masked_scatter_: 4,  # the mask as integers, its running sum in two, the write
    aten.native_group_norm: 3,  # mean and variance, scale and offset of each channel, the map
    aten.native_layer_norm_backward: 3,
    aten.scatter: 2,
    aten.sort: 4,
    aten.topk: 3,
}
"""Operations that launch several kernels according to torch's CUDA sources; all others launch one."""

_GATHERS = {aten.embedding, aten.gather, aten.index, aten.index_select, aten._unsafe_index}
"""Operations that read only the selected part of their first tensor."""
_OVERWRITES = {aten.copy_, aten.fill_, aten.zero_, aten.normal_, aten.uniform_}
"""Operations that write a tensor without reading it."""


def count_launches(func: Any, args: tuple[Any, ...], out: Any) -> int:
    """Count the kernels of an operation on CUDA tensors; 0 for a view."""
    packet = func._overloadpacket
    aliases = any(each.alias_info is not None for each in func._schema.returns) and not func._schema.is_mutable
    if aliases or packet in NO_LAUNCH or _is_empty(out):
        return 0
    if packet is aten.convolution and args[2] is not None:
        return 2  # cuDNN's, then the bias
    return LAUNCHES.get(packet, 1)


def count_flops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float:
    """Count the FLOPs of matrix products, convolutions and attention; causal attention counts half."""
    formula = flop_registry.get(func._overloadpacket)
    if formula is None:
        return 0.0
    # torch's formulas do not accept `scale`.
    options = {name: value for name, value in kwargs.items() if name != 'scale'}
    return float(formula(*args, **options, out_val=out)) * (0.5 if _is_causal(func, args, kwargs) else 1.0)


def count_bytes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float:
    """Count the bytes that an operation reads and writes on the device; an expanded dimension counts once."""
    packet = func._overloadpacket
    results = [each for each in tree_flatten(out)[0] if isinstance(each, Tensor)]
    inputs = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    written = list(written_tensors(func, args, kwargs))
    # New outputs are written; outputs that are inputs were written in place and are in `written` already.
    fresh = [each for each in results if not any(each is other for other in inputs)]
    moved = sum(map(touched_bytes, (*fresh, *written)))
    if packet in _GATHERS:
        return moved + sum(map(touched_bytes, (*fresh, *inputs[1:])))
    if packet in _OVERWRITES:
        inputs = inputs[1:]
    return moved + sum(map(touched_bytes, inputs))


def touched_bytes(tensor: Tensor) -> int:
    """Count the bytes of device memory that a tensor covers."""
    if tensor.device.type != 'cuda':
        return 0
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)
    return math.prod(sizes) * tensor.element_size()


def _is_empty(out: Any) -> bool:
    """Return whether all outputs are empty."""
    tensors = [each for each in tree_flatten(out)[0] if isinstance(each, Tensor)]
    return bool(tensors) and not any(each.numel() for each in tensors)


def _is_causal(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    for position, argument in enumerate(func._schema.arguments):
        if argument.name == 'is_causal':
            return bool(args[position] if position < len(args) else kwargs.get('is_causal', False))
    return False
