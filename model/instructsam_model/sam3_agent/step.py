"""`start` and `step`: the agent as a function from state and event to state and action. No I/O, no clock, no random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.actions import Action, Event
from instructsam_model.sam3_agent.state import AgentState, Settings


def start(image_rgb: NDArray[np.uint8], query: str, settings: Settings) -> tuple[AgentState, Action]:
    """Return the first state and action of a run."""
    raise NotImplementedError


def step(state: AgentState, event: Event) -> tuple[AgentState, Action]:
    """Return the next state and action.

    Args:
        state: the state that asked for the last action.
        event: what became of it.
    """
    raise NotImplementedError
