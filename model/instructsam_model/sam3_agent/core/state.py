"""The state of a run: everything that decides what the agent does next. Frozen; `step` returns a new one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.limits import Limits, Spent
from instructsam_model.sam3_agent.core.messages import Message


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        strict: follow the public code edge for edge, errors included, instead of repairing them.
        limits: what the run may use.
        max_phrase_chars: longest phrase that is passed to SAM3; not in `strict`.
    """

    strict: bool = False
    limits: Limits = field(default_factory=Limits)
    max_phrase_chars: int = 200


@dataclass(frozen=True)
class AskedMain:
    """Waits for a tool call."""


@dataclass(frozen=True, eq=False)
class AskedCheck:
    """Waits for a verdict.

    Attributes:
        index: of the mask, from 0.
        kept: indices of the masks accepted so far.
        messages: that were sent.
        again: whether this is the second attempt.
    """

    index: int
    kept: tuple[int, ...]
    messages: tuple[Message, ...]
    again: bool = False


@dataclass(frozen=True)
class AskedSegment:
    """Waits for SAM3."""

    phrase: str


@dataclass(frozen=True, eq=False)
class AskedMasks:
    """Waits for a drawing of new masks.

    Attributes:
        kind: of the sentence that goes with it: `segmented` or `examined`.
        detections: the masks.
        phrase: that found them.
    """

    kind: str
    detections: Detections
    phrase: str


@dataclass(frozen=True)
class AskedMask:
    """Waits for a drawing of one mask, see `AskedCheck`."""

    index: int
    kept: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class AskedResult:
    """Waits for the drawing of the selected masks. `numbers`: those that they had, from 1."""

    chosen: Detections
    numbers: tuple[int, ...]


Waiting = AskedMain | AskedCheck | AskedSegment | AskedMasks | AskedMask | AskedResult


@dataclass(frozen=True, eq=False)
class AgentState:
    """State of a run.

    Attributes:
        query: what the user asks for.
        image_rgb: uint8 (H, W, 3).
        settings: of the run.
        messages: of the main conversation, system prompt included.
        waiting: the event that is expected.
        reply: the last main reply, cut, while it is being processed.
        latest: masks that the model can select; None before the first phrase.
        phrase: the last phrase that SAM3 searched.
        used: phrases that SAM3 has searched, in order, exact text.
        repeated: number of refused phrases since the last new one.
        spent: calls, tokens, money and seconds so far.
        largest_prompt: tokens of the longest messages so far, by kind of call; for estimates.
        notes: what was repaired or left out.
    """

    query: str
    image_rgb: NDArray[np.uint8]
    settings: Settings = field(default_factory=Settings)
    messages: tuple[Message, ...] = ()
    waiting: Waiting = AskedMain()
    reply: Message | None = None
    latest: Detections | None = None
    phrase: str = ''
    used: tuple[str, ...] = ()
    repeated: int = 0
    spent: Spent = field(default_factory=Spent)
    largest_prompt: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image."""
        height, width = self.image_rgb.shape[:2]
        return height, width
