"""SAM3's detector as InstructSAM uses it: the language model's queries, no text encoder, no presence token.

In the published model the score of a query is its dot product with the phrase alone.

Notation: P phrases, K queries, L phrase tokens, C SAM3's hidden size, S = h_f * w_f positions of the coarsest feature
map, h w the mask grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import Sam3Config

from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import Detections, Prompt, VisionFeatures


class PointwiseConv(nn.Module):
    """SAM3's own convolution of single pixels, as one matrix product: on a CPU three times as fast."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, maps: Tensor) -> Tensor:
        """Project maps [P, C, h, w]."""
        assert self.bias is not None
        projected = self.weight.flatten(1) @ maps.flatten(2) + self.bias.unsqueeze(1)
        return projected.view(len(maps), len(self.weight), *maps.shape[2:])


class QueryDetector(Sam3Detector):
    """The `grounding_model` of the checkpoint.

    Attributes:
        checkpointing: in training, compute the detector's activations again in the backward pass, to save memory.
    """

    def __init__(self, config: Sam3Config) -> None:
        super().__init__(config)
        self.checkpointing = False
        del self.model.text_encoder
        decoder = self.model.detr_decoder
        del decoder.presence_token, decoder.presence_head, decoder.presence_layer_norm
        masks = self.model.mask_decoder
        masks.instance_projection = PointwiseConv(masks.instance_projection)
        masks.semantic_projection = PointwiseConv(masks.semantic_projection)

    def forward(self, vision: VisionFeatures, queries: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Detections:
        """Decode the queries of P phrases in one pass.

        Args:
            vision: features of P images (see `VisionFeatures.select`).
            queries: content of the decoder queries, [P, K, C].
            phrases: text condition, [P, L, C].
            phrase_mask: bool [P, L], True on tokens, at least one per phrase.
        """
        inputs = (vision, queries, phrases, phrase_mask)
        if not (self.checkpointing and torch.is_grad_enabled()):
            return self._detect(*inputs)
        detections: Detections = checkpoint(self._detect, *inputs, use_reentrant=False)
        return detections

    def _detect(self, vision: VisionFeatures, queries: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Detections:
        return self.detect(vision, Prompt(phrases, phrase_mask), queries, has_presence=False)


def no_detections(queries: Tensor, memory: Tensor, mask_grid: tuple[int, int]) -> Detections:
    """Return the output of a detector that did not run: queries [P, K, C] of which P or K is 0, memory [P, S, C]."""
    phrases, slots, _ = queries.shape
    return Detections(
        queries.new_zeros(phrases, slots, *mask_grid),
        queries.new_zeros(phrases, slots),
        queries.new_zeros(1, phrases, slots, 4),
        queries.new_zeros(phrases, *mask_grid),
        queries,
        memory,
    )
