"""Qwen3-VL's image encoder with fused layers, for one image at a time; uses the parameters of `transformers`' module.

Notation:
    N  patches
    C  hidden size of the encoder
    H  attention heads
    E  features of one head
    D  hidden size of the language model
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionBlock, Qwen3VLVisionModel

from instructsam_model.instructsam.vision_inputs import compute_vision_inputs
from instructsam_model.runtime.compilation import Compile
from instructsam_model.runtime.fused import Rotation, attend, split_heads


@dataclass(frozen=True)
class PatchGrid:
    """Position embeddings of the patches, which depend on the size of the image alone.

    Attributes:
        positions: learned position embedding of each patch, [N, C].
        cos: of the rotary embedding, float32 [N, 1, E].
        signed_sin: of the rotary embedding, float32 [N, 1, E]; see `Rotation`.
    """

    positions: Tensor
    cos: Tensor
    signed_sin: Tensor


class QwenEncoder:
    """Encodes one image at a time.

    Args:
        visual: Qwen3-VL's image encoder.
        compile_: for the layers.
    """

    def __init__(self, visual: Qwen3VLVisionModel, compile_: Compile) -> None:
        self._visual = visual
        self._layers = [compile_(QwenVisionLayer(block)) for block in visual.blocks]
        self._mergers = dict(zip(visual.deepstack_visual_indexes, visual.deepstack_merger_list, strict=True))

    def grid(self, grid_thw: Tensor, dtype: torch.dtype) -> PatchGrid:
        """Compute the position embeddings for images of a size.

        Args:
            grid_thw: int64 [1, 3] on the CPU, patches in time, height and width.
            dtype: of the patches.
        """
        visual, device = self._visual, self._visual.pos_embed.weight.device
        inputs = compute_vision_inputs(grid_thw, visual.config).to(device)
        # Bilinear interpolation between the four table entries around each patch.
        corners = visual.pos_embed(inputs.interp_indices) * inputs.interp_weights[:, :, None]  # [N, 4, C]
        cos, sin = visual.rotary_pos_emb(corners, inputs.position_ids)
        rotation = Rotation.of_angles(cos, sin, pair_dim=-2)
        return PatchGrid(corners.sum(1).to(dtype), rotation.cos, rotation.signed_sin)

    def __call__(self, patches: Tensor, grid: PatchGrid) -> tuple[Tensor, list[Tensor]]:
        """Encode flattened patches [N, patch values].

        Returns:
            Image tokens [N / 4, D], and image tokens of DeepStack's levels, each [N / 4, D].
        """
        states = self._visual.patch_embed(patches) + grid.positions
        deepstack = []
        for number, layer in enumerate(self._layers):
            states = layer(states, grid.cos, grid.signed_sin)
            if number in self._mergers:
                deepstack.append(self._mergers[number](states))
        return self._visual.merger(states), deepstack


class QwenVisionLayer(nn.Module):
    """One transformer layer over the patches of one image, with full attention.

    Args:
        block: provides the parameters.
    """

    def __init__(self, block: Qwen3VLVisionBlock) -> None:
        super().__init__()
        self._norm1, self._norm2, self._mlp = block.norm1, block.norm2, block.mlp
        self._qkv, self._out = block.attn.qkv, block.attn.proj
        self._heads, self._scale = block.attn.num_heads, block.attn.scaling

    def forward(self, states: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
        """Apply attention and MLP to states [N, C]."""
        qkv = split_heads(self._qkv(self._norm1(states)), 3 * self._heads)  # [N, 3 H, E]
        # Queries and keys are rotated together; attention wants a batch dimension.
        rotation = Rotation(cos, signed_sin, pair_dim=-2)
        query, key = rotation(qkv[:, : 2 * self._heads]).unsqueeze(0).chunk(2, dim=-2)  # [1, N, H, E] each
        value = qkv[None, :, 2 * self._heads :]  # [1, N, H, E]
        states = states + self._out(attend(query, key, value, scale=self._scale)[0])
        updated: Tensor = states + self._mlp(self._norm2(states))
        return updated
