"""Positions and row numbers in a batch of conversations, computed on the CPU before the batch is uploaded.

Boolean indices and `.item()` on a GPU make the host wait until the device has computed them. With row numbers that are
known in advance, the network never waits.

Notation: B images, T tokens, P phrases, K queries, G images that have phrases; rows are those of [B * T, ...].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.instructsam.attention import segment_positions
from instructsam_model.instructsam.config import ModelConfig


@dataclass(frozen=True)
class Layout:
    """Positions and row numbers of a batch of conversations.

    Attributes:
        positions: int64 [3, B, T], time, height and width of M-RoPE; 0 on padding.
        image_rows: int64, rows of the image placeholders, in the order of the image tokens.
        query_rows: int64 [P * K], rows of the queries, in the order of the phrases.
        logit_rows: int64, rows after which the logits of the next token are computed.
    """

    positions: Tensor
    image_rows: Tensor
    query_rows: Tensor
    logit_rows: Tensor


@dataclass(frozen=True)
class QuerySharing:
    """Which phrases share their queries.

    Attributes:
        owners: int64 [G], the first phrase about each image, whose queries are decoded.
        index: int64 [P], the element of `owners` whose queries each phrase uses.
    """

    owners: Tensor
    index: Tensor


def lay_out(
    input_ids: Tensor,
    attention_mask: Tensor,
    grid_thw: Tensor,
    config: ModelConfig,
    *,
    logit_mask: Tensor | None = None,
    segment_ids: Tensor | None = None,
) -> Layout:
    """Compute the layout of a batch; on the CPU, on whatever device the arguments are (see `ModelInputs`).

    Raises:
        ValueError: the image placeholders of a conversation do not match its image.
    """
    device = input_ids.device
    input_ids, attention_mask = input_ids.cpu(), attention_mask.cpu()
    positions = mrope_positions(input_ids, attention_mask, grid_thw.cpu(), config)
    if segment_ids is not None:
        positions = segment_positions(positions, segment_ids.cpu())
    rows = [
        positions,
        find_rows(input_ids == config.qwen.image_token_id),
        find_rows(input_ids == config.tokens.query),
        find_rows(torch.zeros_like(attention_mask) if logit_mask is None else logit_mask.cpu()),
    ]
    return Layout(*(tensor.to(device) for tensor in rows))


def find_rows(mask: Tensor) -> Tensor:
    """Row numbers of the True elements of bool [B, T], or [P], in row-major order."""
    return mask.flatten().nonzero()[:, 0]


def share_queries(phrase_owner: Tensor) -> QuerySharing:
    """Share the queries of the first phrase about each image; phrase_owner int64 [P], ascending."""
    device, owner = phrase_owner.device, phrase_owner.cpu()
    is_first = owner.diff(prepend=owner.new_tensor([-1])) != 0
    return QuerySharing(find_rows(is_first).to(device), (is_first.cumsum(0) - 1).to(device))


def mrope_positions(input_ids: Tensor, attention_mask: Tensor, grid_thw: Tensor, config: ModelConfig) -> Tensor:
    """M-RoPE positions of conversations about one image each, as Qwen3-VL's `get_rope_index` (arXiv:2409.12191, 2.1).

    Text tokens have the same position in all three directions. The tokens of an image share one time, and their rows
    and columns count from there; text after the image continues behind the larger of its height and width.

    Args:
        input_ids: int64 [B, T], on the CPU.
        attention_mask: bool [B, T], False on padding, which is on the right.
        grid_thw: int64 [B, 3], patches of each image.
        config: of the network.

    Returns:
        int64 [3, B, T], 0 on padding.

    Raises:
        ValueError: the image placeholders of a conversation do not match its image.
    """
    merge = config.qwen.vision_config.spatial_merge_size
    is_image = input_ids == config.qwen.image_token_id
    numbers = torch.arange(input_ids.shape[1])
    positions = numbers.expand(3, *input_ids.shape).clone()
    for row, (_, high, wide) in enumerate(grid_thw.tolist()):
        height, width = high // merge, wide // merge
        start, count = int(is_image[row].int().argmax()), int(is_image[row].sum())
        end = start + height * width
        if count != height * width or not is_image[row, start:end].all():
            raise ValueError(f'conversation {row}: expected {height * width} image tokens in a row, got {count}')
        positions[:, row, end:] += start + max(height, width) - end
        positions[0, row, start:end] = start
        positions[1, row, start:end] = start + torch.arange(height).repeat_interleave(width)
        positions[2, row, start:end] = start + torch.arange(width).repeat(height)
    return positions * attention_mask
