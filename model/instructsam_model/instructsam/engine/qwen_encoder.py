"""Qwen3-VL's image encoder for inference, with the layers' parameters of `transformers`' module, one image at a time.

Notation: N patches, C width, H heads, E features of a head, D the language model's hidden size.
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
    """What depends on the size of an image alone.

    Attributes:
        positions: the position embedding of each patch, [N, C].
        cos, signed_sin: of the rotary embedding, float32 [N, 1, E]; see `Rotation`.
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
        """Compute what images of a size have in common.

        Args:
            grid_thw: int64 [1, 3] on the CPU.
            dtype: of the patches.
        """
        visual, device = self._visual, self._visual.pos_embed.weight.device
        given = compute_vision_inputs(grid_thw, visual.config).to(device)
        around = visual.pos_embed(given.interp_indices) * given.interp_weights[:, :, None]  # [N, 4, C]
        cos, sin = visual.rotary_pos_emb(around, given.position_ids)
        rotation = Rotation.of_angles(cos, sin, pair_dim=-2)
        return PatchGrid(around.sum(1).to(dtype), rotation.cos, rotation.signed_sin)

    def __call__(self, patches: Tensor, grid: PatchGrid) -> tuple[Tensor, list[Tensor]]:
        """Encode flattened patches [N, patch values]: image tokens [N / 4, D], and those of the levels of DeepStack."""
        states = self._visual.patch_embed(patches) + grid.positions
        deepstack = []
        for number, layer in enumerate(self._layers):
            states = layer(states, grid.cos, grid.signed_sin)
            if number in self._mergers:
                deepstack.append(self._mergers[number](states))
        return self._visual.merger(states), deepstack


class QwenVisionLayer(nn.Module):
    """One layer over patches [N, C] of one image, all of which see each other.

    Args:
        block: whose parameters it uses.
    """

    def __init__(self, block: Qwen3VLVisionBlock) -> None:
        super().__init__()
        self._norm1, self._norm2, self._mlp = block.norm1, block.norm2, block.mlp
        self._qkv, self._out = block.attn.qkv, block.attn.proj
        self._heads, self._scale = block.attn.num_heads, block.attn.scaling

    def forward(self, states: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
        """Attend, then the MLP."""
        qkv = split_heads(self._qkv(self._norm1(states)), 3 * self._heads)  # [N, 3 H, E]
        rotation = Rotation(cos, signed_sin, pair_dim=-2)
        query, key = rotation(qkv[:, : 2 * self._heads]).unsqueeze(0).chunk(2, dim=-2)
        value = qkv[None, :, 2 * self._heads :]
        states = states + self._out(attend(query, key, value, scale=self._scale)[0])
        updated: Tensor = states + self._mlp(self._norm2(states))
        return updated
