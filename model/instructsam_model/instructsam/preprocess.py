"""`Preprocessor`: frames to pixels and instructions to tokens, exactly as in training.

Both image processors are `transformers`' own and run on the network's device, from one upload of the 8-bit image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedTokenizerBase,
    Sam3ImageProcessor,
)

from instructsam_model.datatypes import Frame
from instructsam_model.errors import CheckpointError, FrameError
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.plain_text import encode_text
from instructsam_model.instructsam.prompt_lookup import AnswerTokens, PromptLookup
from instructsam_model.runtime.streams import upload
from instructsam_model.weights.hub import read_json

MAX_PHRASE_TOKENS = 32
"""Tokens of a phrase that condition SAM3; longer phrases are cut off."""
PROCESSOR_FILES = ('tokenizer_config.json', 'preprocessor_config.json')
FORGOTTEN_KEYS = ('processor_class', 'is_local', 'local_files_only')
"""Keys of these files that say how the files were read."""
_PLACEHOLDER = '\N{OBJECT REPLACEMENT CHARACTER}'


@dataclass(frozen=True)
class Prompt:
    r"""The constant token ids of a prompt, around image, instruction and answer.

    Attributes:
        before_image: `<|im_start|>user\n<|vision_start|>`.
        after_image: `<|vision_end|>`.
        after_text: `<|im_end|>\n<|im_start|>assistant\n`.
        next_question: `<|im_start|>user\n`, before every question but the first.
        answer_end: `<|im_end|>\n`, after an answer; the model writes its first token.
    """

    before_image: tuple[int, ...]
    after_image: tuple[int, ...]
    after_text: tuple[int, ...]
    next_question: tuple[int, ...]
    answer_end: tuple[int, ...]


class Preprocessor:
    """The tokenizer and the two image processors of a checkpoint."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        qwen_images: BaseImageProcessor,
        sam3_images: BaseImageProcessor,
        image_token: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.qwen_images = qwen_images
        self.sam3_images = sam3_images
        self.image_token = image_token
        self.prompt = read_prompt(tokenizer, image_token)

    def pixels(self, frame: Frame, device: torch.device, *, normalized: bool = True) -> Pixels:
        """Upload an image once and compute the inputs of both encoders from it.

        Args:
            frame: the image.
            device: of the result.
            normalized: False keeps 8-bit values and returns the normalization that remains to be done in
                `Pixels.scale`.

        Raises:
            FrameError: the aspect ratio of the image is too large for the vision-language model.
        """
        image = frame.image_rgb
        if not image.flags.writeable:  # torch has no read-only tensors and warns
            image = image.copy()
        image_chw = upload(torch.from_numpy(np.ascontiguousarray(image)), device).permute(2, 0, 1)
        options: dict[str, Any] = {'return_tensors': 'pt', 'input_data_format': 'channels_first', 'device': device}
        if not normalized:
            options |= {'do_rescale': False, 'do_normalize': False}
        try:
            qwen = self.qwen_images(images=[image_chw], **options)
        except ValueError as error:
            raise FrameError(f'image of {frame.size_wh[0]}x{frame.size_wh[1]}: {error}') from error
        sam3 = self.sam3_images(images=[image_chw], **options)
        scale = None if normalized else torch.stack([channel_scale(self.qwen_images), channel_scale(self.sam3_images)])
        return Pixels(qwen['pixel_values'], qwen['image_grid_thw'], sam3['pixel_values'], scale=scale)

    def image_prefix(self, grid_thw: torch.Tensor) -> list[int]:
        """Return the token ids of the prompt up to the instruction, for one image of `grid_thw` [1, 3] patches."""
        placeholders = int(grid_thw.prod()) // self.qwen_images.merge_size**2
        return [*self.prompt.before_image, *[self.image_token] * placeholders, *self.prompt.after_image]

    def instruction(self, text: str) -> list[int]:
        """Return the token ids of the prompt from the instruction on."""
        return [*self.text(text), *self.prompt.after_text]

    def prompt_lookup(self, text: str, phrases: Sequence[str], special: AnswerTokens) -> PromptLookup:
        """Return the lookup that proposes draft tokens of an answer.

        Args:
            text: the instruction.
            phrases: that the answer is expected to have.
            special: tokens of an answer.
        """
        return PromptLookup(text, phrases, special, self.text, lambda token: self.decode([token]))

    def text(self, text: str) -> list[int]:
        """Return the token ids of text, see `encode_text`."""
        return encode_text(self.tokenizer, text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def save(self, folder: Path, sam3_folder: Path) -> None:
        """Write the tokenizer and the processors where `read_preprocessor` finds them."""
        self.tokenizer.save_pretrained(folder)
        self.qwen_images.save_pretrained(folder)
        self.sam3_images.save_pretrained(sam3_folder)
        # Of published checkpoints: `AutoProcessor` would take the files for those of plain Qwen3-VL.
        for file in (folder / name for name in PROCESSOR_FILES):
            if file.exists():
                content = {key: value for key, value in read_json(file).items() if key not in FORGOTTEN_KEYS}
                file.write_text(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + '\n')


def channel_scale(processor: BaseImageProcessor) -> torch.Tensor:
    """Return mean and standard deviation with which a processor normalizes 8-bit channels, float32 [2, 3]."""
    mean_std = [processor.image_mean, processor.image_std] if processor.do_normalize else [[0.0] * 3, [1.0] * 3]
    # `transformers` fuses rescaling and normalization like this; the same order gives bitwise equal results.
    return torch.tensor(mean_std) * (1.0 / processor.rescale_factor if processor.do_rescale else 1.0)


def read_preprocessor(folder: Path, sam3_folder: Path | None, image_token: int) -> Preprocessor:
    """Read the preprocessor of a checkpoint; without a SAM3 folder, with `transformers`' defaults for SAM3.

    Raises:
        CheckpointError: a file is missing or cannot be read.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f'{folder}: expected tokenizer files (tokenizer.json, ...), got: {error}') from error
    try:
        qwen_images = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f'{folder}: expected processor_config.json or preprocessor_config.json, got: {error}'
        ) from error
    if sam3_folder is None:
        return Preprocessor(tokenizer, qwen_images, Sam3ImageProcessor(), image_token)
    try:
        sam3_images = AutoImageProcessor.from_pretrained(sam3_folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f'{sam3_folder}: expected preprocessor_config.json of SAM3, got: {error}') from error
    return Preprocessor(tokenizer, qwen_images, sam3_images, image_token)


def read_prompt(tokenizer: PreTrainedTokenizerBase, image_token: int) -> Prompt:
    """Derive the constant parts of a prompt from the checkpoint's chat template.

    Expects user turns with one image before the text, and no system turn.

    Raises:
        CheckpointError: tokens or template are missing, or the template does not put one image before the text.
    """
    placeholder = tokenizer.convert_ids_to_tokens(image_token)
    if placeholder is None:  # without tokenizer files, `transformers` makes an empty tokenizer
        raise CheckpointError(
            f'{tokenizer.name_or_path}: expected tokenizer files (tokenizer.json, ...) that know token {image_token}'
        )
    # Render a conversation with placeholders for the texts, and split it at the placeholders.
    user = {'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': _PLACEHOLDER}]}
    assistant, next_user = ({'role': role, 'content': _PLACEHOLDER} for role in ('assistant', 'user'))
    try:
        rendered = tokenizer.apply_chat_template([user, assistant, next_user, assistant], tokenize=False)
    except (ValueError, TemplateError) as error:
        raise CheckpointError(f'{tokenizer.name_or_path}: expected a chat template, got: {error}') from error
    before, after_text, between, _, end = [*rendered.split(_PLACEHOLDER), '', '', '', ''][:5]
    before_image, image, after_image = before.partition(placeholder)
    if not image or not end or not between.startswith(end):
        raise CheckpointError(
            f'{tokenizer.name_or_path}: expected a chat template with {placeholder} before the text, got {rendered!r}'
        )
    parts = (before_image, after_image, after_text, between.removeprefix(end), end)
    return Prompt(*(tuple(tokenizer(part, add_special_tokens=False).input_ids) for part in parts))
