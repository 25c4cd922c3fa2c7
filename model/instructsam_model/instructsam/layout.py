"""Where what stands in a batch of conversations: found on the CPU, so that the network waits for nothing.

Boolean indices and `.item()` make the host wait until the device has computed them. Here they are row numbers, known
before the batch is uploaded.

Notation: B images, T tokens, P phrases, K queries; rows are those of [B * T, ...].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.instructsam.attention import segment_positions
from instructsam_model.instructsam.config import ModelConfig


@dataclass(frozen=True)
class Layout:
    """Where what stands in a batch of conversations.

    Attributes:
        positions: int64 [3, B, T], M-RoPE's time, height and width; 0 on padding.
        image_rows: int64, the image placeholders, in the order of the image tokens.
        query_rows: int64 [P * K], the queries, in the order of the phrases.
        logit_rows: int64, tokens after which the network's own next token is asked for.
    """

    positions: Tensor
    image_rows: Tensor
    query_rows: Tensor
    logit_rows: Tensor


@dataclass(frozen=True)
class SharedSlots:
    """Which phrases share their slots.

    Attributes:
        first: int64, the first phrase about each image that has one.
        index: int64 [P], for each phrase which of them is about its image.
    """

    first: Tensor
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
    """Find where what stands; on the CPU, whatever the device of the arguments, which are as in `ModelInputs`.

    Raises:
        ValueError: a conversation has other than the placeholders of its one image.
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


def find_rows(wanted: Tensor) -> Tensor:
    """Numbers of the True ones among bool [B, T], as one row after the other."""
    return wanted.flatten().nonzero()[:, 0]


def share_slots(phrase_owner: Tensor) -> SharedSlots:
    """Let phrases about the same image share the slots of the first; phrase_owner int64 [P], ascending."""
    device, owner = phrase_owner.device, phrase_owner.cpu()
    is_first = owner.diff(prepend=owner.new_tensor([-1])) != 0
    return SharedSlots(find_rows(is_first).to(device), (is_first.cumsum(0) - 1).to(device))


def mrope_positions(input_ids: Tensor, attention_mask: Tensor, grid_thw: Tensor, config: ModelConfig) -> Tensor:
    """M-RoPE positions of conversations about one image each, as Qwen3-VL's `get_rope_index` (arXiv:2409.12191, 2.1).

    Text counts on in all three directions; image tokens share one time and count rows and columns from there; what
    follows goes on behind the larger of the two.

    Args:
        input_ids: int64 [B, T], on the CPU.
        attention_mask: bool [B, T], False on padding, which is on the right.
        grid_thw: int64 [B, 3], patches of each image.
        config: of the network.

    Returns:
        int64 [3, B, T], 0 on padding.

    Raises:
        ValueError: a conversation has other than the placeholders of its one image.
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
