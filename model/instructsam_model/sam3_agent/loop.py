"""`run_agent`: does what the steps ask for, until the run is over; the only place with a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from instructsam_model.datatypes import never
from instructsam_model.errors import CanceledError
from instructsam_model.sam3_agent.core.actions import (
    Action,
    AskVlm,
    Canceled,
    Event,
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
from instructsam_model.sam3_agent.core.state import AgentState, Settings
from instructsam_model.sam3_agent.core.step import start, step


class Host(Protocol):
    """Does the work of a run: the vision-language model, SAM3 and the drawing.

    Methods may raise CanceledError; then the run ends as `canceled`.
    """

    def ask(self, action: AskVlm) -> Reply | VlmFailed:
        """Ask the vision-language model."""
        ...

    def segment(self, action: Segment) -> Segmented | SegmentFailed:
        """Search the image for a phrase."""
        ...

    def render(self, action: Render) -> Rendered | RenderFailed:
        """Draw a view."""
        ...


Observer = Callable[[AgentState, Action, Event | None], None]
"""Is told of each action before it is done (event None) and after: progress, transcripts. The state is the one that
asked for the action. `Finish` comes once, with None."""


def observe_nothing(state: AgentState, action: Action, event: Event | None) -> None:
    """Do nothing."""


def run_agent(
    image_rgb: NDArray[np.uint8],
    query: str,
    host: Host,
    settings: Settings | None = None,
    *,
    observe: Observer = observe_nothing,
    is_canceled: Callable[[], bool] = never,
    clock: Callable[[], float] = time.monotonic,
) -> Finish:
    """Run the agent on one image.

    Args:
        image_rgb: uint8 (H, W, 3).
        query: what the user asks for.
        host: does the work.
        settings: of the run; None: the defaults.
        observe: see `Observer`.
        is_canceled: asked before each action.
        clock: seconds.

    Returns:
        The result and how the run ended; `canceled` if `is_canceled` was True.
    """
    began = clock()
    state, action = start(image_rgb, query, settings or Settings())
    while not isinstance(action, Finish):
        observe(state, action, None)
        event = Canceled() if is_canceled() else _do(host, action)
        ended = clock()
        event = replace(event, seconds=ended - began)
        began = ended
        observe(state, action, event)
        state, action = step(state, event)
    observe(state, action, None)
    return action


def _do(host: Host, action: AskVlm | Segment | Render) -> Event:
    try:
        if isinstance(action, AskVlm):
            return host.ask(action)
        if isinstance(action, Segment):
            return host.segment(action)
        return host.render(action)
    except CanceledError:
        return Canceled()
