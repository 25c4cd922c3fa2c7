"""`start` and `step`: the agent as a function from state and event to state and action. No I/O, no clock, no random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.actions import (
    Action,
    Canceled,
    Event,
    Rendered,
    RenderFailed,
    Reply,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.asking import ask_main, out_of_time
from instructsam_model.sam3_agent.core.checks import on_mask_drawn, on_verdict
from instructsam_model.sam3_agent.core.ending import finish
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.core.rounds import on_masks_drawn, on_reply, on_result_drawn, on_segmented
from instructsam_model.sam3_agent.core.state import (
    AgentState,
    AskedCheck,
    AskedMain,
    AskedMask,
    AskedMasks,
    AskedResult,
    AskedSegment,
    Settings,
)
from instructsam_model.sam3_agent.prompts.main import MAIN_PROMPT
from instructsam_model.sam3_agent.prompts.sentences import make_sentence


def start(image_rgb: NDArray[np.uint8], query: str, settings: Settings) -> tuple[AgentState, Action]:
    """Return the first state and action of a run.

    Args:
        image_rgb: uint8 (H, W, 3).
        query: what the user asks for.
        settings: of the run.
    """
    system = Message('system', (TextPart(MAIN_PROMPT),))
    first = Message('user', (ImagePart(View('image'), image_rgb), make_sentence('initial', query=query)))
    return ask_main(AgentState(query, image_rgb, settings, (system, first)))


def step(state: AgentState, event: Event) -> tuple[AgentState, Action]:
    """Return the next state and action.

    Args:
        state: the state that asked for the last action.
        event: what became of it.

    Raises:
        TypeError: the event is not one of those that the action can have.
    """
    state = _account(state, event)
    if isinstance(event, Canceled):
        return finish(state, 'canceled', 'canceled by the caller')
    if isinstance(event, VlmFailed) and out_of_time(state):  # the client had only the seconds that were left
        return finish(state, 'limit', f'limit of {state.settings.limits.seconds:g} s')
    kinds, handle = HANDLERS[type(state.waiting)]
    if not isinstance(event, kinds):
        expected = ' or '.join(kind.__name__ for kind in kinds)
        raise TypeError(f'event: expected {expected} or Canceled, got {type(event).__name__}')
    return handle(state, state.waiting, event)  # type: ignore[no-any-return]


def _account(state: AgentState, event: Event) -> AgentState:
    """Add what an action has used."""
    spent = replace(state.spent, seconds=state.spent.seconds + event.seconds)
    if not isinstance(event, Reply):
        return replace(state, spent=spent)
    kind = 'check' if isinstance(state.waiting, AskedCheck) else 'main'
    largest = max(state.largest_prompt.get(kind, 0), event.usage.prompt_tokens)
    spent = replace(spent, usage=spent.usage + event.usage)
    return replace(state, spent=spent, largest_prompt={**state.largest_prompt, kind: largest})


HANDLERS: dict[type, tuple[tuple[type, ...], Any]] = {
    AskedMain: ((Reply, VlmFailed), lambda state, waiting, event: on_reply(state, event)),
    AskedCheck: ((Reply, VlmFailed), on_verdict),
    AskedSegment: ((Segmented, SegmentFailed), on_segmented),
    AskedMasks: ((Rendered, RenderFailed), on_masks_drawn),
    AskedMask: ((Rendered, RenderFailed), on_mask_drawn),
    AskedResult: ((Rendered, RenderFailed), on_result_drawn),
}
"""What the state waits for: the events that can follow, and the function that takes them."""
