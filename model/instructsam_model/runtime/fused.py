"""Fused operations shared by the layers of both image encoders and the language model.

They use the parameters of the network's own modules. GPU kernels of `transformers`' version and of this one: three
projections with biases 3 (here 1), RMSNorm 6 (1), rotary embedding of queries and keys 10 to 16 (3).

Notation:
    T  tokens of the queries
    S  tokens of the keys and values
    H  attention heads
    E  features of one head
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


class PackedLinear:
    """Several linear layers with the same input as one matrix product.

    Their parameters become views of one packed weight, so no memory is used twice. Layers whose weights are not plain
    tensors, such as quantized ones, are not packed and run one by one.

    Args:
        layers: all with a bias, or all without.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self._layers = layers
        self._weight, self._bias = None, None
        if not any(is_traceable_wrapper_subclass(layer.weight) for layer in layers):
            self._weight = _pack(layers, 'weight')
            self._bias = _pack(layers, 'bias') if layers[0].bias is not None else None

    def __call__(self, inputs: Tensor) -> Tensor:
        """Project [..., in] to the concatenated outputs [..., sum of out]."""
        if self._weight is None:
            return torch.cat([layer(inputs) for layer in self._layers], dim=-1)
        return F.linear(inputs, self._weight, self._bias)


def _pack(layers: Sequence[nn.Linear], name: str) -> Tensor:
    """Concatenate the parameters of that name and make each of them a view of the result."""
    packed = torch.cat([getattr(layer, name).detach() for layer in layers])
    start = 0
    for layer in layers:
        end = start + layer.out_features
        setattr(layer, name, nn.Parameter(packed[start:end], requires_grad=False))
        start = end
    return packed


def rms_norm(norm: Any, states: Tensor) -> Tensor:
    """Qwen's RMSNorm as one operation, computed in float32 inside; states [..., D]."""
    weight: Tensor = norm.weight
    return F.rms_norm(states, weight.shape, weight, norm.variance_epsilon)


class PackedNorm:
    """RMSNorm over the heads of queries and keys in one operation, each group of heads with its own gains.

    Args:
        norms: one for each group of heads, all with the same epsilon.
        heads: number of heads in each group.
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
    """Rotary position embedding: rotates each pair of features by an angle that depends on the position.

    Computed in float32 from states of any dtype as x cos + swap(x) sin, where `swap` exchanges the two features of a
    pair; `signed_sin` is -sin for the first feature of a pair and sin for the second.

    Args:
        cos: float32 [..., T, 1, E].
        signed_sin: float32 [..., T, 1, E].
        pair_dim: -1 if features 2i and 2i + 1 form a pair (SAM3), -2 if i and i + E / 2 do (Qwen).
    """

    def __init__(self, cos: Tensor, signed_sin: Tensor, pair_dim: int) -> None:
        self.cos = cos
        self.signed_sin = signed_sin
        self._pair_dim = pair_dim

    @classmethod
    def of_angles(cls, cos: Tensor, sin: Tensor, pair_dim: int) -> Rotation:
        """Build the rotation from `transformers`' tables, float32 [..., T, E]."""
        sign = torch.ones(cos.shape[-1], device=cos.device)
        _pairs(sign, pair_dim).select(pair_dim, 0).fill_(-1)
        return cls(cos.unsqueeze(-2), (sin * sign).unsqueeze(-2), pair_dim)

    def __call__(self, states: Tensor) -> Tensor:
        """Rotate queries and keys together, [..., T, H, E]."""
        swapped = _pairs(states, self._pair_dim).flip(self._pair_dim).flatten(-2)  # [..., T, H, E]
        # The output has the dtype of the states, the sum is computed in float32 and rounded once.
        return torch.addcmul(states * self.cos, swapped, self.signed_sin, out=torch.empty_like(swapped))


def _pairs(states: Tensor, pair_dim: int) -> Tensor:
    """View [..., E] as [..., E / 2, 2] or [..., 2, E / 2], so that the two of a pair lie along `pair_dim`."""
    half = states.shape[-1] // 2
    return states.view(*states.shape[:-1], *((half, 2) if pair_dim == -1 else (2, half)))


def split_heads(states: Tensor, heads: int) -> Tensor:
    """View [..., H * E] as [..., H, E]."""
    return states.view(*states.shape[:-1], heads, states.shape[-1] // heads)


def attend(query: Tensor, key: Tensor, value: Tensor, *, bias: Tensor | None = None, scale: float) -> Tensor:
    """Attention of queries [..., T, H, E] over keys and values [..., S, H, E]; returns [..., T, H * E]."""
    # To the [..., H, T, E] that torch's attention expects.
    query, key, value = (states.transpose(-3, -2) for states in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return attended.transpose(-3, -2).flatten(-2)
