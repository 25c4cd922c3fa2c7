"""Fewer and larger operations for what the layers of both image encoders and the language model have in common.

The parameters are those of the network's own modules, under their names. What each replaces costs `transformers` on a
GPU in kernels: three projections and their biases 3 (here 1), RMSNorm 6 (1), rotary embedding of queries and keys 10 to
16 (3).

Notation: T tokens, H heads, E features of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


class PackedLinear:
    """Linear layers with one input, as one matrix product whose weight is theirs in a row.

    Their parameters become views of it, so that nothing is held twice. Layers whose weights are not plain tensors, such
    as quantized ones, stay products of their own.

    Args:
        layers: all with a bias, or all without one.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self._layers = layers
        self._weight, self._bias = None, None
        if not any(is_traceable_wrapper_subclass(layer.weight) for layer in layers):
            self._weight = _pack(layers, 'weight')
            self._bias = _pack(layers, 'bias') if layers[0].bias is not None else None

    def __call__(self, inputs: Tensor) -> Tensor:
        """Project [..., in] to [..., all outs in a row]."""
        if self._weight is None:
            return torch.cat([layer(inputs) for layer in self._layers], dim=-1)
        return F.linear(inputs, self._weight, self._bias)


def _pack(layers: Sequence[nn.Linear], name: str) -> Tensor:
    """Put the parameters of that name into one tensor, of which they become views."""
    packed = torch.cat([getattr(layer, name).detach() for layer in layers])
    start = 0
    for layer in layers:
        end = start + layer.out_features
        setattr(layer, name, nn.Parameter(packed[start:end], requires_grad=False))
        start = end
    return packed


def rms_norm(norm: Any, states: Tensor) -> Tensor:
    """Qwen's RMSNorm with float32 inside, as one operation; states [..., D]."""
    weight: Tensor = norm.weight
    return F.rms_norm(states, weight.shape, weight, norm.variance_epsilon)


class PackedNorm:
    """RMSNorm of the heads of queries and keys, each with gains of its own, in one go.

    Args:
        norms: one for each group of heads, with the same epsilon.
        heads: how many there are in each.
    """

    def __init__(self, norms: Sequence[Any], heads: Sequence[int]) -> None:
        weights: list[Tensor] = [norm.weight for norm in norms]
        gains = [weight.detach().expand(count, -1) for weight, count in zip(weights, heads, strict=True)]
        self._weight = torch.cat(gains)  # [H, E]
        self._epsilon = float(norms[0].variance_epsilon)

    def __call__(self, states: Tensor) -> Tensor:
        """Normalize [..., H, E]."""
        return F.rms_norm(states, states.shape[-1:], None, self._epsilon) * self._weight


class Rotation:
    """Rotary position embedding: each pair of features is turned by an angle of its position.

    Computed in float32 from states in any precision: x cos + swap(x) sin, where `swap` exchanges the two of a pair and
    the sine has the sign of the one it is multiplied with.

    Args:
        cos: float32 [..., T, 1, E].
        signed_sin: likewise.
        pair_dim: -1 where features 2i and 2i + 1 are a pair (SAM3), -2 where i and i + E / 2 are (Qwen).
    """

    def __init__(self, cos: Tensor, signed_sin: Tensor, pair_dim: int) -> None:
        self.cos = cos
        self.signed_sin = signed_sin
        self._pair_dim = pair_dim

    @classmethod
    def of_angles(cls, cos: Tensor, sin: Tensor, pair_dim: int) -> Rotation:
        """The rotation of `transformers`' tables, float32 [..., T, E]."""
        sign = torch.ones(cos.shape[-1], device=cos.device)
        _pairs(sign, pair_dim).select(pair_dim, 0).fill_(-1)
        return cls(cos.unsqueeze(-2), (sin * sign).unsqueeze(-2), pair_dim)

    def __call__(self, states: Tensor) -> Tensor:
        """Turn queries and keys [..., T, H, E] together."""
        swapped = _pairs(states, self._pair_dim).flip(self._pair_dim).flatten(-2)
        # The sum is rounded once, where it is written.
        return torch.addcmul(states * self.cos, swapped, self.signed_sin, out=torch.empty_like(swapped))


def _pairs(states: Tensor, pair_dim: int) -> Tensor:
    """[..., E] with the two of each pair along a dimension of its own: a view."""
    half = states.shape[-1] // 2
    return states.view(*states.shape[:-1], *((half, 2) if pair_dim == -1 else (2, half)))


def split_heads(states: Tensor, heads: int) -> Tensor:
    """[..., H * E] to [..., H, E]: a view."""
    return states.view(*states.shape[:-1], heads, states.shape[-1] // heads)


def attend(query: Tensor, key: Tensor, value: Tensor, *, bias: Tensor | None = None, scale: float) -> Tensor:
    """Attention of [..., T, H, E] over [..., S, H, E]: [..., T, H * E]."""
    query, key, value = (states.transpose(-3, -2) for states in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return attended.transpose(-3, -2).flatten(-2)
