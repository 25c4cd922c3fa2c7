"""Modules of Qwen3-VL with the same results as those of `transformers`, in fewer operations or without host waits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel, Qwen3VLVisionPatchEmbed


class PatchEmbedding(Qwen3VLVisionPatchEmbed):  # type: ignore[misc]  # transformers is untyped for us
    """Qwen3-VL's patch embedding as one matrix product: its convolution has exactly one output position per patch."""

    def forward(self, patches: Tensor) -> Tensor:
        """Embed patches [N, patch values]."""
        weight = self.proj.weight
        return F.linear(patches.to(weight.dtype), weight.flatten(1), self.proj.bias)


class LanguageModel(Qwen3VLTextModel):  # type: ignore[misc]
    """Qwen3-VL's language model; `visual_pos_masks` may be row indices, which need no host wait as a mask does."""

    def _deepstack_process(self, hidden_states: Tensor, visual_pos_masks: Tensor, visual_embeds: Tensor) -> Tensor:
        """Add the image tokens of one encoder level (DeepStack, arXiv:2406.04334).

        Args:
            hidden_states: [B, T, D].
            visual_pos_masks: int64 [N], rows of [B * T, D]; or bool [B, T], as in Qwen3-VL.
            visual_embeds: [N, D].
        """
        if visual_pos_masks.dtype == torch.bool:
            masked: Tensor = super()._deepstack_process(hidden_states, visual_pos_masks, visual_embeds)
            return masked
        rows = hidden_states.flatten(0, 1)
        return rows.index_add(0, visual_pos_masks, visual_embeds.to(rows.dtype)).view_as(hidden_states)
