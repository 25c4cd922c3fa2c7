"""`PromptedDetector`: detection in one image by an encoded text, with the modules of `transformers`.

Notation: K queries, L tokens of a prompt, C SAM3's hidden size, h w the mask grid, n some of the queries, H W the
image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BaseImageProcessor

from instructsam_model.datatypes import Frame
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.stages import stage
from instructsam_model.runtime.streams import upload
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import Prompt, VisionFeatures
from instructsam_model.sam3.layers import Adapters
from instructsam_model.sam3.phrase_detector import PhraseDetections, combine_scores

PROMPT_CACHE_SIZE = 64
"""Number of encoded texts in the cache: a continuous query has the same ones for every image."""

Text = TypeVar('Text', bound=Hashable)


@dataclass(frozen=True)
class EncodedImage:
    """One image.

    Attributes:
        features: of B = 1 image.
        geometry_token: [1, 1, C]; None if prompts have none.
    """

    features: VisionFeatures
    geometry_token: Tensor | None


class PromptedDetector(ABC, Generic[Text]):
    """SAM3 for one image and one text at a time; a `PhraseDetector` once it says how a text is encoded.

    Args:
        detector: in evaluation mode, with text encoder and presence head.
        image_processor: SAM3's; runs on the device.
        has_geometry_token: append the geometry token to every prompt, see `Sam3Detector.geometry_token`.
        resizes_logits: resize the logits of masks instead of probabilities, as Meta's processor does.
    """

    def __init__(
        self,
        detector: Sam3Detector,
        image_processor: BaseImageProcessor,
        *,
        has_geometry_token: bool,
        resizes_logits: bool,
    ) -> None:
        self.detector = detector
        self._image_processor = image_processor
        self._has_geometry_token = has_geometry_token
        self._resizes_logits = resizes_logits
        self._prompts: dict[Text, Prompt] = {}

    @abstractmethod
    def _encode_text(self, text: Text) -> Prompt:
        """Encode a text as one prompt."""

    def _adapters(self, _: Text) -> Adapters | None:
        """Return the adapters of the detector for a text."""
        return None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._query_embed.device

    @property
    def num_queries(self) -> int:
        """K: the number of instances of a phrase that can be found."""
        return len(self._query_embed)

    def encode(self, frame: Frame) -> EncodedImage:
        """Encode an image: one upload of 8-bit pixels, everything else on the device."""
        with stage('preprocess'):
            image = np.require(frame.image_rgb, requirements=['C', 'W'])  # torch warns about read-only memory
            image_chw = upload(torch.from_numpy(image), self.device).permute(2, 0, 1)
            pixel_values = self._image_processor(
                images=[image_chw], return_tensors='pt', input_data_format='channels_first', device=self.device
            )['pixel_values']
        with stage('sam3 vision'):
            features = self.detector.encode(pixel_values.to(self._query_embed.dtype))
            token = self.detector.geometry_token(features) if self._has_geometry_token else None
        return EncodedImage(features, token)

    def detect(self, encoded: EncodedImage, phrase: Text) -> PhraseDetections:
        """Detect what a text asks for in an encoded image."""
        prompt = self._prompt(phrase)
        with stage('sam3 decode'):
            if encoded.geometry_token is not None:
                prompt = prompt.append(encoded.geometry_token)
            found = self.detector.detect(encoded.features, prompt, has_presence=True, adapters=self._adapters(phrase))
            assert found.presence_logits is not None
            box_xyxy, mask_logits = found.refined_xyxy[-1, 0], found.mask_logits[0]
            scores = combine_scores(found.score_logits[0], found.presence_logits[0], box_xyxy, mask_logits)
        return PhraseDetections(scores, box_xyxy, mask_logits)

    def to_masks(self, mask_logits: Tensor, size_wh: tuple[int, int], threshold: float) -> Tensor:
        """Resize mask logits [n, h, w] and compare probabilities with `threshold`: bool [n, H, W]."""
        # In float32: half precision moves the borders of masks.
        logits = mask_logits.float().unsqueeze(0)
        if self._resizes_logits:
            return resize(logits, size_wh)[0].sigmoid() > threshold
        # As `Sam3Processor.post_process_instance_segmentation` of transformers.
        return resize(logits.sigmoid(), size_wh)[0] > threshold

    def forget(self) -> None:
        """Drop the encoded texts."""
        self._prompts.clear()

    def weight_bytes(self) -> int:
        """Return the size of the parameters."""
        return count_bytes(self.detector)

    @property
    def _query_embed(self) -> Tensor:
        weight: Tensor = self.detector.model.detr_decoder.query_embed.weight
        return weight

    def _prompt(self, text: Text) -> Prompt:
        """Encode a text, unless it is among the last ones."""
        prompt = self._prompts.pop(text, None)
        if prompt is None:
            with stage('text'):
                prompt = self._encode_text(text)
        # Insert it at the end, so that the first entry is the least recently used.
        self._prompts[text] = prompt
        while len(self._prompts) > PROMPT_CACHE_SIZE:
            del self._prompts[next(iter(self._prompts))]
        return prompt


def resize(maps: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """Resize maps [1, n, h, w] to [1, n, H, W]."""
    return F.interpolate(maps, size=size_wh[::-1], mode='bilinear', align_corners=False)
