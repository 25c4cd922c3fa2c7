"""Ends a run: with the masks that the model selected, or with what there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.actions import Action, Ended, Finish
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.state import AgentState
from instructsam_model.sam3_agent.tool_calls.calls import ReplyError


def finish(
    state: AgentState,
    ended: Ended,
    reason: str,
    *,
    detections: Detections | None = None,
    image_rgb: NDArray[np.uint8] | None = None,
    exception: str = '',
) -> tuple[AgentState, Action]:
    """End a run.

    Args:
        state: of the run.
        ended: how.
        reason: for people.
        detections: the result; None: the masks that the model saw last, in `strict` none.
        image_rgb: the result, drawn.
        exception: of the public code.
    """
    if exception:
        ended = 'error'
    nothing = Detections(state.size_hw)
    if detections is None:
        detections = nothing if state.settings.strict or state.latest is None else state.latest
    action = Finish(
        detections,
        ended,
        reason,
        state.spent,
        state.messages,
        phrase=state.phrase,
        image_rgb=image_rgb,
        exception=exception,
        notes=state.notes,
    )
    return state, action


def die(state: AgentState, fault: ReplyError) -> tuple[AgentState, Action]:
    """End a `strict` run where the public code raises."""
    return finish(state, 'error', fault.message, exception=fault.exception)


def note(state: AgentState, text: str) -> AgentState:
    """Return a state with one more note, unless the text is empty."""
    return replace(state, notes=(*state.notes, text)) if text else state
