"""`ScriptedHost`: plays a model with given replies and SAM3 with given masks, for runs of SAM3-Agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from instructsam_model.sam3_agent.core.actions import (
    AskVlm,
    Finish,
    Render,
    Rendered,
    RenderFailed,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.messages import TextPart
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.loop import Observer, observe_nothing, run_agent

SIZE_HW = (40, 60)
IMAGE_RGB = np.full((*SIZE_HW, 3), 90, np.uint8)
Box = tuple[int, int, int, int]


def call(name: str, **parameters: object) -> str:
    """Return a reply with a tool call, for parameters that JSON writes like Python."""
    return f'<think>so</think><tool>{{"name": "{name}", "parameters": {parameters}}}</tool>'.replace("'", '"')


def segment(phrase: str) -> str:
    return call('segment_phrase', text_prompt=phrase)


def select(*numbers: int) -> str:
    return call('select_masks_and_return', final_answer_masks=list(numbers))


EXAMINE = call('examine_each_mask')
REPORT = call('report_no_mask')
ACCEPT, REJECT = '<verdict>Accept</verdict>', '<verdict>Reject</verdict>'


def boxes(*boxes_xyxy: Box, scores: Sequence[float] = ()) -> Detections:
    """Return masks that fill boxes; scores fall from 0.9 if none are given."""
    masks = []
    for x1, y1, x2, y2 in boxes_xyxy:
        mask = np.zeros(SIZE_HW, np.bool_)
        mask[y1:y2, x1:x2] = True
        masks.append(mask)
    scores = scores or [0.9 - index / 100 for index in range(len(masks))]
    return Detections.from_pixels(SIZE_HW, masks, np.array(boxes_xyxy, np.float32).reshape(-1, 4), scores)


TWO = boxes((2, 2, 12, 12), (20, 20, 50, 36))


class ScriptedHost:
    """Answers from scripts; raises StopIteration if the run asks for more.

    Args:
        replies: of the model in order; an event is given as it is.
        found: phrase: masks, or an event; other phrases find `default`.
        default: masks of other phrases.
        seconds: that each call of the model takes on the clock of the host.

    Attributes:
        asked: the calls of the model.
        phrases: that SAM3 searched.
    """

    def __init__(
        self,
        replies: Iterable[str | Reply | VlmFailed | None],
        found: Mapping[str, Detections | SegmentFailed] | None = None,
        default: Detections = TWO,
        seconds: float = 0.0,
    ) -> None:
        self._replies = iter(replies)
        self._found = found or {}
        self._default = default
        self._seconds = seconds
        self._now = 0.0
        self.asked: list[AskVlm] = []
        self.phrases: list[str] = []

    def clock(self) -> float:
        return self._now

    def ask(self, action: AskVlm) -> Reply | VlmFailed:
        self.asked.append(action)
        self._now += self._seconds
        reply = next(self._replies)
        return Reply(reply) if reply is None or isinstance(reply, str) else reply

    def segment(self, action: Segment) -> Segmented | SegmentFailed:
        self.phrases.append(action.phrase)
        found = self._found.get(action.phrase, self._default)
        return Segmented(found) if isinstance(found, Detections) else found

    def render(self, action: Render) -> Rendered | RenderFailed:
        number = 2 if action.view.kind == 'mask' else 1
        return Rendered(tuple(IMAGE_RGB.copy() for _ in range(number)))

    def sentences(self, index: int) -> list[str]:
        """Return the kinds of the sentences of one call."""
        parts = [part for message in self.asked[index].messages for part in message.parts]
        return [part.kind for part in parts if isinstance(part, TextPart) and part.kind]


def run(host: ScriptedHost, settings: Settings | None = None, observe: Observer = observe_nothing) -> Finish:
    """Run the agent with a host for 'the disc'."""
    return run_agent(IMAGE_RGB, 'the disc', host, settings, observe=observe, clock=host.clock)
