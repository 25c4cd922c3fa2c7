"""Hybrid attention: text is causal, the K queries of a phrase also see each other (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def hybrid_attention_mask(is_query: Tensor, is_token: Tensor, segment_ids: Tensor | None = None) -> Tensor:
    """Visibility within a packed sequence, as in training.

    Args:
        is_query: bool [B, T], True where a query of the bank stands; every contiguous run is one phrase's block.
        is_token: bool [B, T], False on padding.
        segment_ids: int64 [B, T], 0 on the image and 1, 2, ... on the questions, which do not attend to each other;
            None for conversations, in which they do.

    Returns:
        bool [B, 1, T, T], True where the row may look at the column: everything before it, and, for a query, its whole
        block. Nothing looks ahead to `mask_end`.
    """
    previous = torch.nn.functional.pad(is_query[:, :-1], (1, 0))
    block = (is_query & ~previous).cumsum(1) * is_query  # [B, T], 0 outside of blocks, else the number of the block
    same_block = (block.unsqueeze(2) == block.unsqueeze(1)) & is_query.unsqueeze(2)  # [B, T, T]
    length = is_query.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=is_query.device).tril()
    visible = (causal | same_block) & is_token.unsqueeze(1)
    if segment_ids is not None:
        visible &= (segment_ids.unsqueeze(2) == segment_ids.unsqueeze(1)) | (segment_ids == 0).unsqueeze(1)
    return visible.unsqueeze(1)


def segment_positions(positions: Tensor, segment_ids: Tensor) -> Tensor:
    """Let every question begin right behind the picture.

    Args:
        positions: int64 [3, B, T], of the questions one after the other.
        segment_ids: int64 [B, T], 0 on the picture, then 1, 2, ... on the questions.

    Returns:
        int64 [3, B, T].
    """
    along_time = positions[0]  # text has the same position in all three directions
    count = int(segment_ids.max()) + 1
    starts = torch.full((len(segment_ids), count), torch.iinfo(along_time.dtype).max, device=segment_ids.device)
    starts.scatter_reduce_(1, segment_ids, along_time, 'amin')
    late = (starts - starts[:, 1:2]).gather(1, segment_ids)
    return positions - torch.where(segment_ids > 0, late, 0)


def draft_attention_mask(
    cached: int,
    length: int,
    blocks: Sequence[int],
    num_queries: int,
    *,
    hybrid: bool = True,
    mask_end_visible: bool = False,
    device: torch.device,
) -> Tensor:
    """Visibility of text with injected blocks `ref_end mask_start query*K mask_end` over a cache and itself.

    Args:
        cached: tokens already in the cache; every row sees all of them.
        length: T new tokens.
        blocks: which of them are the `ref_end` of a block.
        num_queries: K.
        hybrid: the queries of a block see each other; otherwise every token sees only those before it.
        mask_end_visible: the queries also see `mask_end`, as in the public implementation's inference.
        device: of the result.

    Returns:
        bool [1, 1, T, cached + T].
    """
    visible = torch.ones(length, cached + length, dtype=torch.bool, device=device).tril(cached)
    for start in blocks if hybrid else ():
        first, end = start + 2, start + 2 + num_queries
        visible[first:end, cached + first : cached + end + mask_end_visible] = True
    return visible[None, None]
