"""Inputs of Qwen3-VL's vision encoder that depend on the image size alone, computed once on the CPU.

The encoder would otherwise compute them on the device in every pass, and wait about 80 times for intermediate results.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Qwen3VLConfig
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)


@dataclass(frozen=True)
class VisionInputs:
    """Positions of the N patches of B images, as keyword arguments of the encoder.

    Attributes:
        interp_indices: int64 [N, 4], rows of the position embedding table around each patch.
        interp_weights: float32 [N, 4], bilinear weights of these rows.
        position_ids: int64 [N, 2], row and column, for the rotary embedding.
        cu_seqlens: int32 [B + 1], index of each image's first patch, and N. Stays on the CPU, because attention splits
            the patches by its values.
    """

    interp_indices: Tensor
    interp_weights: Tensor
    position_ids: Tensor
    cu_seqlens: Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> VisionInputs:
        """Return a copy on `device`, except for `cu_seqlens`."""
        return VisionInputs(
            self.interp_indices.to(device, non_blocking=non_blocking),
            self.interp_weights.to(device, non_blocking=non_blocking),
            self.position_ids.to(device, non_blocking=non_blocking),
            self.cu_seqlens,
        )


def compute_vision_inputs(grid_thw: Tensor, vision_config: Qwen3VLConfig) -> VisionInputs:
    """Compute the inputs for grids of patches on the CPU.

    Args:
        grid_thw: int64 [B, 3], patches of each image in time (1), height and width; on a GPU the host waits for it.
        vision_config: of the encoder.
    """
    grid_thw, merge = grid_thw.cpu(), vision_config.spatial_merge_size
    indices, weights = get_vision_interpolation_indices_and_weights(
        grid_thw,
        num_grid_per_side=int(vision_config.num_position_embeddings**0.5),
        mode='bilinear',
        align_corners=True,
        spatial_merge_size=merge,
    )
    return VisionInputs(indices, weights, get_vision_position_ids(grid_thw, merge), get_vision_cu_seqlens(grid_thw))
