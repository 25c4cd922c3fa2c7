"""Choice of the kernel for `scaled_dot_product_attention`, as on an NVIDIA GPU of the Ampere generation or later.

torch would ask the driver, which is missing here. The rules are those of `aten/src/ATen/native/transformers`: flash
attention without a mask in half precision, else memory-efficient attention, else matrix products. cuDNN's attention is
not considered, because the engine disables it.

Notation:
    B  batch
    T  queries
    S  keys and values
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten
MAX_FLASH_HEAD_DIM = 256
"""Largest head dimension of flash attention."""
BIAS_ALIGNMENT = 16
"""Memory-efficient attention needs rows of the bias aligned to this many elements."""


def choose_kernel(
    query: Tensor, key: Tensor, mask: Tensor | None, *, is_causal: bool = False, enable_gqa: bool = False
) -> str:
    """Return `flash`, `efficient` or `math` for queries [B, heads, T, head dim] and keys [B, heads, S, head dim]."""
    # torch's causal flash attention needs as many queries as keys, and no version of it supports a mask.
    half = query.dtype in (torch.bfloat16, torch.float16)
    uneven = is_causal and query.shape[-2] != key.shape[-2]
    flash = half and mask is None and query.shape[-1] <= MAX_FLASH_HEAD_DIM and query.dim() == 4 and not uneven
    if flash and torch.backends.cuda.flash_sdp_enabled():  # type: ignore[no-untyped-call]
        return 'flash'
    grouped = enable_gqa and query.shape[-3] != key.shape[-3]
    aligned = query.shape[-1] % (8 if half else 4) == 0
    efficient = not grouped and aligned and query.dim() == 4 and not (mask is not None and mask.requires_grad)
    allowed = torch.backends.cuda.mem_efficient_sdp_enabled()  # type: ignore[no-untyped-call]
    return 'efficient' if efficient and allowed else 'math'


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute `scaled_dot_product_attention` of fake CUDA tensors; the same arguments."""
    if torch.is_autocast_enabled('cuda'):  # autocast computes attention in half precision
        half = torch.get_autocast_dtype('cuda')
        query, key, value = query.to(half), key.to(half), value.to(half)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(half)
    kernel = choose_kernel(query, key, attn_mask, is_causal=is_causal, enable_gqa=enable_gqa)
    if kernel == 'math':
        return torch._scaled_dot_product_attention_math(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )[0]
    if kernel == 'flash':
        return _attend_flash(query, key, value, dropout_p, is_causal, scale)
    bias = None if attn_mask is None else _as_bias(attn_mask, query, key)
    # The kernel stores the log-sum-exp of the scores only for a backward pass.
    lse = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
    attended: Tensor = aten._scaled_dot_product_efficient_attention.default(
        query, key, value, bias, lse, dropout_p, is_causal, scale=scale
    )[0]
    return attended


def _attend_flash(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float, is_causal: bool, scale: float | None
) -> Tensor:
    """Run flash attention, which needs head dimensions that are multiples of 8."""
    width = query.shape[-1]
    if padding := -width % 8:
        query, key, value = (F.pad(each, (0, padding)) for each in (query, key, value))
    scale = 1 / math.sqrt(width) if scale is None else scale
    attended: Tensor = aten._scaled_dot_product_flash_attention.default(
        query, key, value, dropout_p, is_causal, False, scale=scale
    )[0]
    return attended[..., :width]


def _as_bias(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Convert a mask to the bias that is added to the scores, [B, heads, T, S], with aligned rows."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), -math.inf)
    if padding := -mask.shape[-1] % BIAS_ALIGNMENT:
        mask = F.pad(mask, (0, padding))[..., :-padding]
    return mask.expand(*query.shape[:-1], key.shape[-2])
