"""Answers to a batch of instructions, one after the other: `InstructSAM.generate`.

`InstructSAMSegmenter` computes the same; it also keeps encoded images and drafts of answers between requests.

Notation: B samples, P phrases of an answer, L phrase tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from instructsam_model.errors import ConfigError
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.generation import GeneratedAnswer, generate, make_image_prompt
from instructsam_model.instructsam.incremental_decoder import DecoderState, IncrementalDecoder
from instructsam_model.instructsam.inference_mode import get_inference_mode
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS

MODE = get_inference_mode('trained')


@dataclass(frozen=True)
class SamplePrompt:
    """The prompt of one instruction.

    Attributes:
        ids: tokens, the image placeholders included.
        start: number of tokens before the instruction.
        size_wh: width and height of the image, pixels.
        instruction: the instruction, for the result.
    """

    ids: tuple[int, ...]
    start: int
    size_wh: tuple[int, int]
    instruction: str


@dataclass(frozen=True)
class SampleAnswer:
    """The answer to one instruction.

    Attributes:
        prediction: masks and scores of its P phrases; without their texts, which need the tokenizer.
        answer: the generated tokens.
        size_wh: width and height of the image, pixels.
        instruction: the instruction.
    """

    prediction: Prediction
    answer: GeneratedAnswer
    size_wh: tuple[int, int]
    instruction: str


@torch.inference_mode()
def answer_batch(
    network: InstructSAM,
    pixels: Pixels,
    prompts: Sequence[SamplePrompt],
    max_new_tokens: int,
) -> list[SampleAnswer]:
    """Answer B instructions about as many images.

    Args:
        network: in evaluation mode.
        pixels: the B images.
        prompts: one for each image.
        max_new_tokens: maximum length of an answer.

    Raises:
        ConfigError: `max_new_tokens` is not positive.
    """
    if max_new_tokens < 1:
        raise ConfigError(f'max_new_tokens: expected at least 1, got {max_new_tokens}')
    engine = choose_engine(network, 'eager')
    patches = pixels.grid_thw.prod(dim=1).tolist()
    answers = []
    for index, patch_rows in enumerate(torch.split(pixels.qwen, patches)):
        own = Pixels(
            patch_rows.to(network.device),
            pixels.grid_thw[index : index + 1].cpu(),
            pixels.sam3[index : index + 1].to(network.device),
        )
        prediction, answer = _answer(engine, own, prompts[index], max_new_tokens)
        answers.append(SampleAnswer(prediction, answer, prompts[index].size_wh, prompts[index].instruction))
    return answers


def _answer(
    engine: Engine, pixels: Pixels, prompt: SamplePrompt, max_new_tokens: int
) -> tuple[Prediction, GeneratedAnswer]:
    config = engine.network.config
    image_prompt = make_image_prompt(prompt.ids[: prompt.start], pixels.grid_thw, config, MODE)
    vision = engine.encode(pixels)
    engine.set_image(pixels, image_prompt)
    start = DecoderState(len(image_prompt), image_prompt.next_position)
    answer = generate(
        IncrementalDecoder(engine, MODE, start),
        prompt.ids[prompt.start :],
        config.tokens,
        stop_ids=config.stop_tokens,
        max_new_tokens=max_new_tokens,
    )
    if answer.query_states is None:
        return engine.network.empty_prediction(), answer
    return engine.ground(vision, answer.query_states, *answer.phrase_rows(MAX_PHRASE_TOKENS)), answer
