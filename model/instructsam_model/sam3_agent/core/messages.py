"""Messages between the agent and the vision-language model: text and images, without files.

A user sentence has a kind and slots, from which its text is made, so that runs with other words can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.detections import Detections

Role = Literal['system', 'user', 'assistant']
CallKind = Literal['main', 'check']
"""What the model is asked for: the next tool call, or a verdict about one mask."""
ViewKind = Literal['image', 'masks', 'mask', 'zoom']


@dataclass(frozen=True, eq=False)
class View:
    """What an image of a message shows.

    Attributes:
        kind: `image` the image itself; `masks` all masks with their numbers; `mask` one mask; `zoom` its zoom pair.
        detections: the masks; None for `image`.
        index: of the mask, from 0, for `mask` and `zoom`.
    """

    kind: ViewKind
    detections: Detections | None = None
    index: int | None = None


@dataclass(frozen=True)
class TextPart:
    """Text of a message.

    Attributes:
        text: the words that are sent.
        kind: of the sentence, see `prompts.sentences`; empty for text of the model and system prompts.
        slots: what the sentence was made from.
    """

    text: str
    kind: str = ''
    slots: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ImagePart:
    """Image of a message.

    Attributes:
        view: what it shows.
        pixels: uint8 (h, w, 3) RGB; None if it could not be drawn (`strict` only): then it is not sent.
    """

    view: View
    pixels: NDArray[np.uint8] | None


Part = TextPart | ImagePart


@dataclass(frozen=True, eq=False)
class Message:
    """One message.

    Attributes:
        role: who speaks.
        parts: text and images in order; that of `system` is one text.
        tool: tool that a reply calls, for `assistant`; empty if it calls none.
    """

    role: Role
    parts: tuple[Part, ...]
    tool: str = ''

    @property
    def text(self) -> str:
        """All text of the message."""
        return ''.join(part.text for part in self.parts if isinstance(part, TextPart))


def count_images(messages: Sequence[Message]) -> int:
    """Return the number of images in messages, drawn or not."""
    return sum(isinstance(part, ImagePart) for message in messages for part in message.parts)


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of messages: one for 3 bytes of text, and one for 28 x 28 pixels of an image (Qwen2.5-VL)."""
    total = 0
    for message in messages:
        for part in message.parts:
            if isinstance(part, TextPart):
                total += len(part.text.encode(errors='replace')) // 3 + 4
            elif part.pixels is not None:
                height, width = part.pixels.shape[:2]
                total += (height * width) // (28 * 28) + 8
    return total


def with_text(message: Message, text: str) -> Message:
    """Return a message of one text part with other text."""
    return replace(message, parts=(TextPart(text),))
