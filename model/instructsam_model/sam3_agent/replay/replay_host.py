"""`ReplayHost`: answers a run from its transcript, in place of the vision-language model and SAM3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import CanceledError
from instructsam_model.sam3_agent.core.actions import (
    AskVlm,
    Render,
    Rendered,
    RenderFailed,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.limits import Limits, Prices, Usage
from instructsam_model.sam3_agent.core.messages import View
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.replay.transcript import Transcript, from_outputs, to_detections

Draw = Callable[[NDArray[np.uint8], View], Rendered | RenderFailed]


class ReplayError(Exception):
    """The run asks for something else than the recorded run at this point."""


def recorded_settings(transcript: Transcript) -> Settings:
    """Return the settings of a recorded run; those of one of the public code are `strict`."""
    limits = dict(transcript.get('limits', {}))
    if 'prices' in limits:
        limits['prices'] = Prices(*limits['prices'])
    limits['main_calls'] = transcript['max_generations'] + 1
    return Settings(strict=transcript.get('strict', True), limits=Limits(**limits))


class ReplayHost:
    """Gives the recorded replies, masks and seconds, in their order.

    Args:
        transcript: the recorded run.
        image_rgb: uint8 (H, W, 3), its image.
        draw: draws views; None: images are not needed, and that of the run stands for all of them.
    """

    def __init__(self, transcript: Transcript, image_rgb: NDArray[np.uint8], draw: Draw | None = None) -> None:
        self._events = transcript['events']
        self._position = 0
        self._image_rgb = image_rgb
        self._draw = draw
        self._seconds = 0.0
        self._files: dict[str, Mapping[str, Any]] = {}

    def clock(self) -> float:
        """Return the recorded time, seconds since the start."""
        return self._seconds

    def check_complete(self) -> None:
        """Check that all recorded events were needed.

        Raises:
            ReplayError: the recorded run goes on.
        """
        rest = [event['event'] for event in self._events[self._position :] if event['event'] != 'sam3_file']
        if rest:
            raise ReplayError(f'the run is over, but the recorded one goes on with {rest[0]}')

    def ask(self, action: AskVlm) -> Reply | VlmFailed:
        """Return the recorded reply."""
        event = self._next('vlm')
        if event['kind'] != action.kind:
            raise ReplayError(
                f'event {self._position - 1}: the run makes a {action.kind} call, recorded is {event["kind"]}'
            )
        if 'error' in event:
            return VlmFailed(event['error'])
        return Reply(event['reply'], Usage(**event.get('usage', {})), event.get('finish_reason', ''))

    def segment(self, action: Segment) -> Segmented | SegmentFailed:
        """Return the recorded masks."""
        event = self._next('sam3')
        if event['text_prompt'] != action.phrase:
            found = f'{action.phrase!r}, recorded is {event["text_prompt"]!r}'
            raise ReplayError(f'event {self._position - 1}: the run searches {found}')
        # The public code writes the masks of each phrase to a file of that name, and reads them from there.
        file = action.phrase.replace('/', '_')
        content = self._file_content()
        if 'raises' in event['scripted']:
            stale = content if content is not None else self._files.get(file)
            return SegmentFailed(event['scripted']['raises'], None if stale is None else from_outputs(stale))
        if content is not None:
            self._files[file] = content
        return Segmented(to_detections(event['scripted']))

    def render(self, action: Render) -> Rendered | RenderFailed:
        """Draw a view, where the recorded run has drawn one."""
        self._next('render', 'render_failed')
        if self._draw is not None:
            return self._draw(self._image_rgb, action.view)
        return Rendered((self._image_rgb,) * (2 if action.view.kind == 'mask' else 1))

    def _next(self, *names: str) -> Mapping[str, Any]:
        """Return the next recorded event, which must have one of the names; events `sam3_file` are passed over."""
        while self._position < len(self._events) and self._events[self._position]['event'] == 'sam3_file':
            self._position += 1
        if self._position == len(self._events):
            raise ReplayError(f'the run goes on with {names[0]}, but the recorded one is over')
        event: Mapping[str, Any] = self._events[self._position]
        self._position += 1
        self._seconds += event.get('seconds', 0.0)
        if event['event'] == 'canceled':
            raise CanceledError('the recorded run was canceled here')
        if event['event'] not in names:
            raise ReplayError(f'event {self._position - 1}: the run asks for {names[0]}, recorded is {event["event"]}')
        return event

    def _file_content(self) -> Mapping[str, Any] | None:
        """Return the file of masks that the recorded run read after this call of SAM3."""
        for event in self._events[self._position :]:
            if event['event'] == 'sam3_file':
                content: Mapping[str, Any] | None = event['content']
                return content
            if event['event'] in ('vlm', 'sam3'):
                break
        return None
