"""Contradictions between the parts of a checkpoint: configuration, tokenizer, image processors and weights.

Each part alone is valid, so that the network would run and find something else than what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.build import TOKENS
from instructsam_model.instructsam.config import GENERATION_FILE, TOKEN_KEYS, ModelConfig
from instructsam_model.instructsam.preprocess import Preprocessor

QWEN_TOKENS = {
    'image_token_id': '<|image_pad|>',
    'vision_start_token_id': '<|vision_start|>',
    'vision_end_token_id': '<|vision_end|>',
}
PATCHES = {
    'patch_size': 'patch_size',
    'merge_size': 'spatial_merge_size',
    'temporal_patch_size': 'temporal_patch_size',
}
"""Settings of Qwen3-VL's image processor, and those of its vision encoder that they follow."""


def check_consistency(folder: Path, config: ModelConfig, preprocessor: Preprocessor) -> None:
    """Compare the configuration of a checkpoint with its tokenizer and its image processors.

    Args:
        folder: of the checkpoint.
        config: of the network.
        preprocessor: for inputs of the same sizes.

    Raises:
        CheckpointError: they contradict each other; the message lists how.
    """
    found = [*_tokens(config, preprocessor), *_vocabulary(config, preprocessor), *_images(config, preprocessor)]
    if found:
        raise CheckpointError(
            f'{folder}: the files of this checkpoint contradict each other: {"; ".join(found)}; copy all files of one '
            'checkpoint again'
        )


def _tokens(config: ModelConfig, preprocessor: Preprocessor) -> Iterator[str]:
    """Yield the tokens whose ids differ."""
    ids: dict[str, tuple[str, int]] = {
        key: (TOKENS[role], getattr(config.tokens, role)) for role, key in TOKEN_KEYS.items()
    }
    ids |= {key: (token, getattr(config.qwen, key)) for key, token in QWEN_TOKENS.items()}
    known: Mapping[str, int] = preprocessor.tokenizer.get_vocab()
    for key, (token, expected) in ids.items():
        if known.get(token) != expected:
            yield f'{key} of config.json is {expected}, but the tokenizer has {token} as {known.get(token, "no token")}'


def _vocabulary(config: ModelConfig, preprocessor: Preprocessor) -> Iterator[str]:
    rows, size = config.qwen.text_config.vocab_size, len(preprocessor.tokenizer)
    if size > rows:
        yield f'vocab_size of config.json is {rows}, but the tokenizer has {size} tokens'
    end = preprocessor.prompt.answer_end[0]
    if end not in config.stop_tokens:
        token = preprocessor.tokenizer.convert_ids_to_tokens(end)
        yield (
            f'eos_token_id of {GENERATION_FILE} is {list(config.stop_tokens)}, but by the chat template an answer ends '
            f'with {token}, {end}'
        )


def _images(config: ModelConfig, preprocessor: Preprocessor) -> Iterator[str]:
    vision = config.qwen.vision_config
    for key, of_vision in PATCHES.items():
        got, expected = getattr(preprocessor.qwen_images, key, None), getattr(vision, of_vision)
        if got != expected:
            yield f'vision_config.{of_vision} of config.json is {expected}, but {key} of the image processor is {got}'
    size, side = preprocessor.sam3_images.size, config.sam3.image_size
    if (size['height'], size['width']) != (side, side):
        yield (
            f"image_size of SAM3's config.json is {side}, but the size of its image processor is "
            f'{size["width"]} x {size["height"]}'
        )
