"""Hybrid attention: causal for text, bidirectional among the K queries of a phrase (paper section 3).

Notation:
    B  conversations
    T  tokens
    K  queries of a phrase
"""

from __future__ import annotations

import torch
from torch import Tensor


def hybrid_attention_mask(is_query: Tensor, is_token: Tensor, segment_ids: Tensor | None = None) -> Tensor:
    """Return the attention mask of packed sequences, as in training.

    Args:
        is_query: bool [B, T], True on queries of the bank; every contiguous run is one phrase's block.
        is_token: bool [B, T], False on padding.
        segment_ids: int64 [B, T], 0 on the image and 1, 2, ... on the questions, which do not attend to each other;
            None for conversations, in which they do.

    Returns:
        bool [B, 1, T, T], True where the row attends to the column: to itself and all earlier tokens, and, for a query,
        to its whole block of queries.
    """
    # Number the blocks: a query starts a block if the token before it is not a query.
    previous = torch.nn.functional.pad(is_query[:, :-1], (1, 0))
    block = (is_query & ~previous).cumsum(1) * is_query  # [B, T], 1, 2, ... in blocks, else 0
    same_block = (block.unsqueeze(2) == block.unsqueeze(1)) & is_query.unsqueeze(2)  # [B, T, T]
    length = is_query.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=is_query.device).tril()
    visible = (causal | same_block) & is_token.unsqueeze(1)
    if segment_ids is not None:
        visible &= (segment_ids.unsqueeze(2) == segment_ids.unsqueeze(1)) | (segment_ids == 0).unsqueeze(1)
    return visible.unsqueeze(1)


def segment_positions(positions: Tensor, segment_ids: Tensor) -> Tensor:
    """Shift the positions of every question so that it starts right after the image.

    Args:
        positions: int64 [3, B, T], of the questions as one sequence.
        segment_ids: int64 [B, T], 0 on the image, then 1, 2, ... on the questions.

    Returns:
        int64 [3, B, T].
    """
    along_time = positions[0]  # [B, T]; text has the same position in all three dimensions
    count = int(segment_ids.max()) + 1
    # The first position of each segment, [B, segments]; then by how much it is later than that of segment 1.
    starts = torch.full((len(segment_ids), count), torch.iinfo(along_time.dtype).max, device=segment_ids.device)
    starts.scatter_reduce_(1, segment_ids, along_time, 'amin')
    late = (starts - starts[:, 1:2]).gather(1, segment_ids)
    return positions - torch.where(segment_ids > 0, late, 0)
