"""The network of SAM3-I (arXiv 2512.04585): SAM3 with the adapters of one level of instruction at a time.

The image encoder is SAM3's own, so that the features of an image serve all levels and instructions. A forward pass has
texts of one level; for a mixed batch, group it by level.

Notation: B images, P prompts, T texts, L = 32 tokens of a text, K queries, C SAM3's hidden size, h w the mask grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import Detections, Prompt, VisionFeatures
from instructsam_model.sam3i.adapters import Sam3IAdapters
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.text import adapt_text

PADDING_ID = 0
"""Id of the padding of a text, which the adapters read as well; a token of its own in CLIP's vocabulary."""


@dataclass(frozen=True)
class Prediction:
    """Output for training, with that of every layer of the decoder.

    In training with one-to-many queries (DAC-DETR, Hu et al., 2023) the first half of the K queries are the one-to-one
    queries, and the second half the one-to-many ones; see `split`.

    Attributes:
        score_logits: after each layer, [layers, P, K].
        boxes_cxcywh: after each layer, float32 [layers, P, K, 4], relative to the image, 0..1.
        presence_logits: after each layer, [layers, P].
        mask_logits: after the last layer, [P, K, h, w].
        region_logits: of all instances as one region, [P, h, w].
        states: of the queries after each layer, [layers, P, K, C].
    """

    score_logits: Tensor
    boxes_cxcywh: Tensor
    presence_logits: Tensor
    mask_logits: Tensor
    region_logits: Tensor
    states: Tensor

    def split(self) -> tuple[Prediction, Prediction]:
        """Return the outputs of the one-to-one and of the one-to-many queries."""
        half = self.mask_logits.shape[1] // 2
        one, many = slice(None, half), slice(half, None)
        return self._of(one), self._of(many)

    def _of(self, queries: slice) -> Prediction:
        return Prediction(
            self.score_logits[:, :, queries],
            self.boxes_cxcywh[:, :, queries],
            self.presence_logits,
            self.mask_logits[:, queries],
            self.region_logits,
            self.states[:, :, queries],
        )


class Sam3I(nn.Module):
    """SAM3 and the adapters.

    Args:
        detector: SAM3; its own parameters are never trained.
        config: sizes of the adapters.
    """

    def __init__(self, detector: Sam3Detector, config: Sam3IConfig) -> None:
        super().__init__()
        self.detector = detector
        self.adapters = Sam3IAdapters(detector.model.config, config)

    def encode_image(self, pixel_values: Tensor) -> VisionFeatures:
        """Encode images [B, 3, side, side], for all levels."""
        return self.detector.encode(pixel_values)

    def encode_text(self, token_ids: Tensor, level: Level) -> Prompt:
        """Encode texts of one level.

        Args:
            token_ids: int64 [T, L], padded with `PADDING_ID`.
            level: of all texts.

        Returns:
            Features [T, L, C] of all tokens, padding included, and the mask of those that are none.
        """
        token_mask = token_ids != PADDING_ID
        if level is Level.CONCEPT:
            return self.detector.encode_text(token_ids, token_mask)
        states = adapt_text(self.detector.model.text_encoder.text_model, self.adapters.text, token_ids, level)
        return Prompt(self.detector.model.text_projection(states), token_mask)

    def prompt(self, text: Prompt, vision: VisionFeatures) -> Prompt:
        """Return what the detector is asked for: P texts and the geometry token of their images, as in Meta's code."""
        return text.append(self.detector.geometry_token(vision))

    def detect(self, vision: VisionFeatures, prompt: Prompt, level: Level) -> Detections:
        """Detect the instances of P prompts (see `prompt`) in P images; for inference."""
        return self.detector.detect(vision, prompt, has_presence=True, adapters=self.adapters.of(level))

    def forward(
        self, vision: VisionFeatures, text: Prompt, level: Level, *, has_one_to_many: bool = False
    ) -> Prediction:
        """Detect the instances of P texts in P images; for training.

        Args:
            vision: features of P images (see `VisionFeatures.select`).
            text: P texts, see `encode_text`.
            level: of the texts.
            has_one_to_many: double the queries; the second half skip the attention of the queries to each other.
        """
        detector, adapters, prompt = self.detector, self.adapters.of(level), self.prompt(text, vision)
        text_bias = prompt.attention_bias()
        queries = detector.model.detr_decoder.query_embed.weight  # [Q, C]
        attending = len(queries) if has_one_to_many else None
        if has_one_to_many:
            queries = queries.repeat(2, 1)
        memory, decoded = detector.decode(
            vision,
            prompt,
            text_bias,
            queries.expand(len(prompt.mask), -1, -1),
            has_presence=True,
            adapters=adapters,
            attending=attending,
            looks_twice=True,
        )
        masks, region = detector.decode_masks(decoded.output[-1], vision, memory, prompt, text_bias, adapters)
        states = torch.stack(decoded.output)
        scores = torch.stack([detector.score(each, prompt.features, prompt.mask) for each in decoded.output])
        presence = torch.stack([detector.presence(each) for each in decoded.presence])
        return Prediction(scores, torch.stack(decoded.boxes_cxcywh), presence[..., 0], masks, region, states)

    def project(self, text: Prompt, *, has_padding: bool = False) -> Tensor:
        """Return the projections of texts [T, C] for the contrastive losses: of the mean of each text's features.

        Args:
            text: features of T texts.
            has_padding: average over the padding too, as the public code does.
        """
        assert self.adapters.projector is not None
        if has_padding:
            mean = text.features.mean(dim=1)
        else:
            weight = text.mask.unsqueeze(-1).to(text.features.dtype)
            mean = (text.features * weight).sum(dim=1) / weight.sum(dim=1)
        projected: Tensor = self.adapters.projector(mean)
        return projected
