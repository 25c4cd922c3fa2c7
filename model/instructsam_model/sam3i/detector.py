"""`Sam3IPhraseDetector`: detection in one image by a text of a level."""

from __future__ import annotations

import torch
from transformers import BaseImageProcessor

from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.streams import upload
from instructsam_model.sam3.features import Prompt
from instructsam_model.sam3.layers import Adapters
from instructsam_model.sam3.prompted_detector import PromptedDetector
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.sam3i.reading import LevelText


class Sam3IPhraseDetector(PromptedDetector[LevelText]):
    """SAM3-I; a `PhraseDetector` of texts with their level, prompted as in the public code.

    Args:
        network: in evaluation mode.
        image_processor: SAM3's; runs on the device.
    """

    def __init__(self, network: Sam3I, image_processor: BaseImageProcessor) -> None:
        super().__init__(network.detector, image_processor, has_geometry_token=True, resizes_logits=True)
        self.network = network

    def weight_bytes(self) -> int:
        """Return the size of the parameters."""
        return count_bytes(self.network)

    def _encode_text(self, text: LevelText) -> Prompt:
        token_ids = upload(torch.tensor([text.token_ids]), self.device)  # [1, L]
        return self.network.encode_text(token_ids, text.level)

    def _adapters(self, text: LevelText) -> Adapters | None:
        return self.network.adapters.of(text.level)
