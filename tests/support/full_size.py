"""The full-size architecture with random weights: what can be checked without the published ones."""

from __future__ import annotations

import torch
from transformers import Sam3Config

from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.random_weights import random_segmenter
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.weights.hub import read_json
from tests.support import GOLDEN, ROOT

ARCHITECTURE = ROOT / 'training' / 'configs' / 'instructsam-2b'


def published_config() -> ModelConfig:
    """The configuration of the published 2B checkpoint.

    The file was written from the public Qwen3-VL-2B-Instruct configuration and the method's own keys;
    that it is right is what `published_tensors.json` proves.
    """
    file = ARCHITECTURE / 'config.json'
    return ModelConfig.from_published(read_json(file), Sam3Config(), file)


def full_size_segmenter(device: str, dtype: torch.dtype) -> InstructSAMSegmenter:
    """The 2B network that answers every instruction with one phrase of six tokens.

    Its tokenizer is the golden checkpoint's, whose few ids are all within the large vocabulary.
    """
    return random_segmenter(ARCHITECTURE, GOLDEN / 'checkpoint', device=torch.device(device), dtype=dtype)
