"""Inputs and outputs of SAM3's detector.

Notation: B images, P prompts, K queries, L tokens of a prompt, C SAM3's hidden size, S = h_f * w_f positions of the
coarsest feature map, h w the mask grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VisionFeatures:
    """Output of SAM3's image encoder for B images.

    Attributes:
        maps: feature pyramid, finest first: [B, C, h, w], ..., [B, C, h_f, w_f].
        positions: position encoding of the coarsest map, [B, C, h_f, w_f].
    """

    maps: tuple[Tensor, ...]
    positions: Tensor

    def select(self, index: Tensor) -> VisionFeatures:
        """Return the features of image `index[p]` for each prompt p; index int64 [P]."""
        if self.positions.shape[0] == 1:  # one image for all prompts: a view instead of P copies
            count = index.shape[0]
            return VisionFeatures(
                tuple(each.expand(count, -1, -1, -1) for each in self.maps), self.positions.expand(count, -1, -1, -1)
            )
        return VisionFeatures(tuple(each[index] for each in self.maps), self.positions[index])


@dataclass(frozen=True)
class Prompt:
    """P prompts, which describe what the detector searches for.

    Attributes:
        features: [P, L, C].
        mask: bool [P, L], True on tokens, at least one of each prompt.
    """

    features: Tensor
    mask: Tensor

    def append(self, token: Tensor) -> Prompt:
        """Return the prompt with one more token [P, 1, C] at its end, such as the geometry token."""
        valid = self.mask.new_ones(len(self.mask), 1)
        return Prompt(torch.cat([self.features, token], dim=1), torch.cat([self.mask, valid], dim=1))

    def attention_bias(self) -> Tensor:
        """Return 0 on tokens and -inf on padding, [P, 1, 1, L]; once for all attentions that read the prompt."""
        bias = torch.zeros_like(self.mask, dtype=self.features.dtype).masked_fill(~self.mask, -torch.inf)
        return bias[:, None, None]


@dataclass(frozen=True)
class DecoderOutput:
    """Output of the layers of SAM3's DETR decoder.

    Attributes:
        presence: states of the presence token after each layer, [P, 1, C]; [P, 0, C] without the token.
        output: normalized states of the queries after each layer, [P, K, C].
        boxes_cxcywh: boxes after each layer, float32 [P, K, 4], relative to the image, 0..1. The gradient of each ends
            at the boxes of the layer before.
    """

    presence: tuple[Tensor, ...]
    output: tuple[Tensor, ...]
    boxes_cxcywh: tuple[Tensor, ...]


@dataclass(frozen=True)
class Detections:
    """Output of SAM3's detector.

    Attributes:
        mask_logits: [P, K, h, w].
        score_logits: [P, K], of the class: how well a query fits the prompt.
        refined_xyxy: boxes after each layer of the decoder, [layers, P, K, 4], relative to the image, 0..1.
        region_logits: [P, h, w], all instances of the prompt as one region; used by the losses only.
        states: of the queries after the decoder's last layer, [P, K, C], from which scores and masks are computed.
        memory: output of the DETR encoder, which the queries attend to, [P, S, C].
        presence_logits: whether the image shows what the prompt asks for at all, [P, 1]; None if detected without the
            presence token.
    """

    mask_logits: Tensor
    score_logits: Tensor
    refined_xyxy: Tensor
    region_logits: Tensor
    states: Tensor
    memory: Tensor
    presence_logits: Tensor | None = None

    def select(self, index: Tensor, score_logits: Tensor) -> Detections:
        """Return the detections of prompt `index[p]` for each p, with scores [P, K] of its own; index int64 [P]."""
        return Detections(
            self.mask_logits[index],
            score_logits,
            self.refined_xyxy[:, index],
            self.region_logits[index],
            self.states[index],
            self.memory[index],
            None if self.presence_logits is None else self.presence_logits[index],
        )
