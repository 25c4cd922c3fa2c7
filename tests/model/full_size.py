"""The full-size architecture with random weights: what can be checked without the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Sam3Config, Sam3ImageProcessor

from instructsam_model.checkpoint import build_empty
from instructsam_model.config import ModelConfig, SpecialTokens, read_json
from instructsam_model.network import InstructSAM
from instructsam_model.preprocess import Preprocessor, read_preprocessor
from instructsam_model.segmenter import InstructSAMSegmenter

GOLDEN = Path(__file__).parents[1] / 'golden'


def published_config() -> ModelConfig:
    """The configuration of the published 2B checkpoint.

    The file was written from the public Qwen3-VL-2B-Instruct configuration and the method's own keys;
    that it is right is what `published_tensors.json` proves.
    """
    file = Path(__file__).parents[2] / 'training' / 'configs' / 'instructsam-2b' / 'config.json'
    return ModelConfig.from_published(read_json(file), Sam3Config(), file)


def fill_randomly(network: InstructSAM, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
    """Give every parameter a plausible size: matrices N(0, 0.02), gains 1, offsets 0."""
    generator = torch.Generator(device=device).manual_seed(seed)
    tensors = {}
    for name, parameter in network.state_dict().items():
        tensor = torch.zeros(parameter.shape, device=device, dtype=dtype)
        if parameter.ndim >= 2:
            tensor.normal_(0, 0.02, generator=generator)
        elif name.endswith('weight'):
            tensor.fill_(1)
        tensors[name] = tensor
    network.load_state_dict(tensors, strict=True, assign=True)
    network.tie_weights()
    network.to(device).requires_grad_(False)


class ScriptedHead(nn.Module):
    """Computes its logits for real, then says what the script says: random weights never write a phrase."""

    def __init__(self, head: nn.Module, script: Sequence[int]) -> None:
        super().__init__()
        self.head = head
        self.script = script
        self.step = 0

    def forward(self, states: Tensor) -> Tensor:
        logits = self.head(states)
        for row in logits.view(-1, logits.shape[-1]):
            row[self.script[self.step % len(self.script)]] = torch.inf
            self.step += 1
        self.step = self.step if self.step < len(self.script) else 0
        return logits


def full_size_segmenter(
    device: str, dtype: torch.dtype, phrase_tokens: int = 6, **options: object
) -> InstructSAMSegmenter:
    """The 2B network with random weights that answers every instruction with one phrase of `phrase_tokens` tokens.

    Its tokenizer is the golden checkpoint's, whose few ids are all within the large vocabulary.
    """
    golden = read_json(GOLDEN / 'checkpoint' / 'config.json')
    small = read_preprocessor(GOLDEN / 'checkpoint', None, golden['image_token_id'])
    config = published_config()
    config.qwen.image_token_id = golden['image_token_id']
    tokens = SpecialTokens(
        ref_start=golden['ref_start_token_index'],
        ref_end=golden['ref_end_token_index'],
        mask_start=golden['seg_start_token_index'],
        query=golden['seg_token_index'],
        mask_end=golden['seg_end_token_index'],
        region=golden['region_token_index'],
    )
    stop = golden['text_config']['eos_token_id']
    network = build_empty(replace(config, tokens=tokens, stop_tokens=(stop,)))
    fill_randomly(network, torch.device(device), dtype)
    words = small.text('the red box left of the green ball on the yellow box')[:phrase_tokens]
    network.lm_head = ScriptedHead(network.lm_head, [tokens.ref_start, *words, tokens.ref_end, stop])
    qwen_images = small.qwen_images
    qwen_images.size = {'shortest_edge': 65_536, 'longest_edge': 16_777_216}  # the processor of Qwen3-VL-2B-Instruct
    preprocessor = Preprocessor(small.tokenizer, qwen_images, Sam3ImageProcessor(), small.image_token)
    return InstructSAMSegmenter(network, preprocessor, **options)
