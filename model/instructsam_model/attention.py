"""Hybrid attention: text is causal, the K queries of a phrase also see each other (paper section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def hybrid_attention_mask(is_query: Tensor, is_token: Tensor) -> Tensor:
    """Visibility within a packed sequence, as in training.

    Args:
        is_query: bool [B, T], True where a query of the bank stands; every contiguous run is one phrase's block.
        is_token: bool [B, T], False on padding.

    Returns:
        bool [B, 1, T, T], True where the row may look at the column: everything before it, and, for a query, its whole
        block. Nothing looks ahead to `mask_end`.
    """
    previous = torch.nn.functional.pad(is_query[:, :-1], (1, 0))
    block = (is_query & ~previous).cumsum(1) * is_query  # [B, T], 0 outside of blocks, else the number of the block
    same_block = (block.unsqueeze(2) == block.unsqueeze(1)) & is_query.unsqueeze(2)  # [B, T, T]
    length = is_query.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=is_query.device).tril()
    return ((causal | same_block) & is_token.unsqueeze(1)).unsqueeze(1)


def block_attention_mask(
    cached: int, num_queries: int, *, hybrid: bool = True, mask_end_visible: bool = False, device: torch.device
) -> Tensor:
    """Visibility of the injected block `ref_end mask_start query*K mask_end` over a cache of `cached` tokens.

    Args:
        cached: tokens already in the cache; every row sees all of them.
        num_queries: K.
        hybrid: the queries see each other; otherwise every token sees only those before it.
        mask_end_visible: the queries also see `mask_end`, as in the public implementation's inference.
        device: of the result.

    Returns:
        bool [1, 1, K + 3, cached + K + 3].
    """
    length = num_queries + 3
    visible = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if hybrid:
        visible[2 : 2 + num_queries, 2 : 2 + num_queries + mask_end_visible] = True
    before = torch.ones(length, cached, dtype=torch.bool, device=device)
    return torch.cat([before, visible], dim=1)[None, None]
