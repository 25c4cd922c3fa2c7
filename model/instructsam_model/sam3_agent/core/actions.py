"""What the agent asks for (actions) and what it is told (events). One action at a time, one event for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.limits import Spent, Usage
from instructsam_model.sam3_agent.core.messages import CallKind, Message, View

Ended = Literal['selected', 'reported', 'limit', 'gave_up', 'error', 'canceled']
"""How a run ended: the model selected masks; it reported that there is no target; a limit was reached; too many replies
were no valid call, or repeated a phrase; the model or SAM3 failed (in `strict`: the public code raised); the caller
canceled it."""


@dataclass(frozen=True, eq=False)
class AskVlm:
    """Ask the vision-language model; the event is `Reply` or `VlmFailed`.

    Attributes:
        messages: all messages, system prompt included.
        kind: for a tool call, or for a verdict about a mask.
        max_tokens: longest reply.
        timeout_s: seconds left; None: no limit.
        mask: number of the mask that is checked, from 1; None for `main`.
    """

    messages: tuple[Message, ...]
    kind: CallKind
    max_tokens: int
    timeout_s: float | None = None
    mask: int | None = None


@dataclass(frozen=True)
class Segment:
    """Search the image for a phrase with SAM3; the event is `Segmented` or `SegmentFailed`."""

    phrase: str


@dataclass(frozen=True, eq=False)
class Render:
    """Draw a view; the event is `Rendered` or `RenderFailed`.

    Views are `masks` (one image) and `mask` (two: the mask, and its zoom pair).
    """

    view: View


@dataclass(frozen=True, eq=False)
class Finish:
    """The run is over.

    Attributes:
        detections: the result, best score first; with no masks if there are none.
        ended: how.
        reason: for people: which limit, which fault.
        spent: calls, tokens, money and seconds.
        messages: all messages at the end.
        phrase: the last phrase that SAM3 searched; the label of the result.
        image_rgb: uint8 (H, W, 3), the result drawn with new numbers; None if nothing was drawn.
        exception: class of the exception with which the public code ends (`strict` only); otherwise empty.
        notes: what was repaired or left out on the way, a sentence each.
    """

    detections: Detections
    ended: Ended
    reason: str
    spent: Spent
    messages: tuple[Message, ...] = ()
    phrase: str = ''
    image_rgb: NDArray[np.uint8] | None = None
    exception: str = ''
    notes: tuple[str, ...] = ()

    @property
    def died(self) -> bool:
        """Whether the run ended without a decision of the model: its result is not an answer."""
        return self.ended not in ('selected', 'reported')


Action = AskVlm | Segment | Render | Finish


@dataclass(frozen=True)
class Event:
    """What happened. `seconds` is the time that the action took."""

    seconds: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class Reply(Event):
    """The model replied.

    Attributes:
        text: the reply; None if the server sent none.
        usage: its tokens and price.
        finish_reason: of the server: `stop`, `length`, ...; empty if unknown.
    """

    text: str | None
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = ''


@dataclass(frozen=True)
class VlmFailed(Event):
    """The model gave no reply, in spite of the retries of the client. `error` says why."""

    error: str


@dataclass(frozen=True, eq=False)
class Segmented(Event):
    """SAM3 found masks with a score above its threshold, in its own order, not yet sorted and filtered."""

    detections: Detections


@dataclass(frozen=True, eq=False)
class SegmentFailed(Event):
    """SAM3 failed.

    Attributes:
        error: why.
        stale: `strict` only: masks of an earlier run, in whose files the public code finds them; None: no such file.
    """

    error: str
    stale: Detections | None = None


@dataclass(frozen=True, eq=False)
class Rendered(Event):
    """A view was drawn: one image uint8 (h, w, 3) for `masks`; for `mask` that of the mask and the zoom pair."""

    images: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class RenderFailed(Event):
    """A view could not be drawn: class and text of the exception."""

    exception: str
    error: str


@dataclass(frozen=True)
class Canceled(Event):
    """The caller canceled the run while the action was going on."""
