"""`TransformersPhraseDetector`: SAM3 with the modules of `transformers`, prompted with text as its processor does."""

from __future__ import annotations

import torch
from transformers import BaseImageProcessor, CLIPTokenizer

from instructsam_model.runtime.streams import upload
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import Prompt
from instructsam_model.sam3.phrase_tokens import tokenize_phrases
from instructsam_model.sam3.prompted_detector import PromptedDetector


class TransformersPhraseDetector(PromptedDetector[str]):
    """SAM3 of `transformers`; a `PhraseDetector` of phrases as text.

    Args:
        detector: in evaluation mode, with text encoder and presence head.
        tokenizer: CLIP's.
        image_processor: SAM3's; runs on the device.
        has_geometry_token: see `PromptedDetector`.
        resizes_logits: see `PromptedDetector`.
    """

    def __init__(
        self,
        detector: Sam3Detector,
        tokenizer: CLIPTokenizer,
        image_processor: BaseImageProcessor,
        *,
        has_geometry_token: bool,
        resizes_logits: bool,
    ) -> None:
        super().__init__(
            detector, image_processor, has_geometry_token=has_geometry_token, resizes_logits=resizes_logits
        )
        self._tokenizer = tokenizer

    def _encode_text(self, text: str) -> Prompt:
        # [1, L] each
        token_ids, token_mask = upload(torch.stack(tokenize_phrases(self._tokenizer, [text])), self.device)
        return self.detector.encode_text(token_ids, token_mask.bool())
