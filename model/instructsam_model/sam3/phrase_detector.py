"""Detection of one phrase in one image: the interface of both implementations of SAM3.

Notation: K queries, h w the mask grid, n some of the queries, H W the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from instructsam_model.datatypes import Frame
from instructsam_model.runtime.finite import mark_nonfinite

Encoded = TypeVar('Encoded')
Phrase = TypeVar('Phrase', contravariant=True)


@dataclass(frozen=True)
class PhraseDetections:
    """Detections of one phrase, one per query.

    Attributes:
        scores: presence times class score, float32 [K], 0..1; NaN if an output of the query is not finite.
        box_xyxy: of SAM3's box head, float32 [K, 4], relative to the image, 0..1.
        mask_logits: [K, h, w].
    """

    scores: Tensor
    box_xyxy: Tensor
    mask_logits: Tensor


class PhraseDetector(Protocol[Encoded, Phrase]):
    """SAM3 with its text encoder, on one device; a phrase is a string, or what a network on top of SAM3 reads."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        ...

    @property
    def num_queries(self) -> int:
        """K: the number of instances of a phrase that can be found."""
        ...

    def encode(self, frame: Frame) -> Encoded:
        """Encode an image."""
        ...

    def detect(self, encoded: Encoded, phrase: Phrase) -> PhraseDetections:
        """Detect what a phrase names in an encoded image."""
        ...

    def to_masks(self, mask_logits: Tensor, size_wh: tuple[int, int], threshold: float) -> Tensor:
        """Resize mask logits [n, h, w] to the image and compare probabilities with `threshold`: bool [n, H, W]."""
        ...

    def forget(self) -> None:
        """Drop what is kept of earlier phrases, after one of them gave values that are not finite."""
        ...

    def weight_bytes(self) -> int:
        """Return the size of the parameters."""
        ...


def combine_scores(score_logits: Tensor, presence_logits: Tensor, box_xyxy: Tensor, mask_logits: Tensor) -> Tensor:
    """Return presence times class score, float32 [K], of logits [K] and [1]; NaN if an output is not finite.

    Args:
        score_logits: [K].
        presence_logits: [1].
        box_xyxy: [K, 4].
        mask_logits: [K, h, w].
    """
    scores = score_logits.float().sigmoid() * presence_logits.float().sigmoid()
    # Sums of logits, because the sigmoid of infinity is finite.
    return mark_nonfinite(scores, score_logits + presence_logits, box_xyxy, mask_logits)
