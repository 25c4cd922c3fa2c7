"""`TransformersPhraseDetector`: SAM3 with the modules of `transformers`, prompted with text as its processor does.

Notation: K queries, L tokens of a prompt, C SAM3's hidden size, h w the mask grid, n some of the queries, H W the
image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BaseImageProcessor, CLIPTokenizer

from instructsam_model.datatypes import Frame
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.stages import stage
from instructsam_model.runtime.streams import upload
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import Prompt, VisionFeatures
from instructsam_model.sam3.phrase_detector import PhraseDetections, combine_scores
from instructsam_model.sam3.phrase_tokens import tokenize_phrases

PROMPT_CACHE_SIZE = 64
"""Number of encoded phrases in the cache: a continuous query has the same ones for every image."""


@dataclass(frozen=True)
class EncodedImage:
    """One image.

    Attributes:
        features: of B = 1 image.
        geometry_token: [1, 1, C]; None if prompts have none.
    """

    features: VisionFeatures
    geometry_token: Tensor | None


class TransformersPhraseDetector:
    """SAM3 of `transformers`; a `PhraseDetector`.

    Args:
        detector: in evaluation mode, with text encoder and presence head.
        tokenizer: CLIP's.
        image_processor: SAM3's; runs on the device.
        has_geometry_token: append the geometry token to every prompt, see `Sam3Detector.geometry_token`.
    """

    def __init__(
        self,
        detector: Sam3Detector,
        tokenizer: CLIPTokenizer,
        image_processor: BaseImageProcessor,
        *,
        has_geometry_token: bool,
    ) -> None:
        self.detector = detector
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self._has_geometry_token = has_geometry_token
        self._prompts: dict[str, Prompt] = {}

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

    def detect(self, encoded: EncodedImage, phrase: str) -> PhraseDetections:
        """Detect what a phrase names in an encoded image."""
        prompt = self._prompt(phrase)
        with stage('sam3 decode'):
            if encoded.geometry_token is not None:
                prompt = prompt.append(encoded.geometry_token)
            found = self.detector.detect(encoded.features, prompt, has_presence=True)
            assert found.presence_logits is not None
            box_xyxy, mask_logits = found.refined_xyxy[-1, 0], found.mask_logits[0]
            scores = combine_scores(found.score_logits[0], found.presence_logits[0], box_xyxy, mask_logits)
        return PhraseDetections(scores, box_xyxy, mask_logits)

    def to_masks(self, mask_logits: Tensor, size_wh: tuple[int, int], threshold: float) -> Tensor:
        """Resize mask logits [n, h, w] as `Sam3Processor.post_process_instance_segmentation`: bool [n, H, W]."""
        # Resize probabilities instead of logits, and in float32: half precision moves the borders of masks.
        probabilities = mask_logits.float().sigmoid().unsqueeze(0)
        return F.interpolate(probabilities, size=size_wh[::-1], mode='bilinear', align_corners=False)[0] > threshold

    def forget(self) -> None:
        """Drop the encoded phrases."""
        self._prompts.clear()

    def weight_bytes(self) -> int:
        """Return the size of the parameters."""
        return count_bytes(self.detector)

    @property
    def _query_embed(self) -> Tensor:
        weight: Tensor = self.detector.model.detr_decoder.query_embed.weight
        return weight

    def _prompt(self, phrase: str) -> Prompt:
        """Encode a phrase, unless it is among the last ones."""
        prompt = self._prompts.pop(phrase, None)
        if prompt is None:
            with stage('text'):
                prompt = self._encode_text(phrase)
        # Insert it at the end, so that the first entry is the least recently used.
        self._prompts[phrase] = prompt
        while len(self._prompts) > PROMPT_CACHE_SIZE:
            del self._prompts[next(iter(self._prompts))]
        return prompt

    def _encode_text(self, phrase: str) -> Prompt:
        # [1, L] each
        token_ids, token_mask = upload(torch.stack(tokenize_phrases(self._tokenizer, [phrase])), self.device)
        return self.detector.encode_text(token_ids, token_mask.bool())
