"""`Vlm`: what the agent needs of a vision-language model; a server, a local checkpoint or a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from instructsam_model.datatypes import never
from instructsam_model.sam3_agent.core.actions import Reply
from instructsam_model.sam3_agent.core.messages import CallKind, Message

REPLY_TOKENS = 4096
"""Longest reply, if the caller names no other; that of the public agent."""


class Vlm(Protocol):
    """Answers messages with text in the grammar of the tools, whatever way a server has to transport tool calls.

    May be called from several threads at once, unless an implementation says otherwise.
    """

    def chat(
        self,
        messages: Sequence[Message],
        kind: CallKind,
        *,
        max_tokens: int = REPLY_TOKENS,
        timeout_s: float | None = None,
        is_canceled: Callable[[], bool] = never,
    ) -> Reply:
        """Return the reply of the model to messages.

        Args:
            messages: that of the system first; the last one is the user's. Images without pixels are not sent.
            kind: what the call is for; it decides the form of the reply that a server is asked for.
            max_tokens: longest reply.
            timeout_s: give up after so many seconds, retries included; None: only the limits of the implementation.
            is_canceled: called from the thread of the caller, several times a second; must return at once.

        Returns:
            The text, None if the model sent no content; the tokens it took; and why it stopped: `stop`, `length` if the
            text is cut off at `max_tokens`, or another word of the server.

        Raises:
            CanceledError: `is_canceled` returned True; the request in flight is given up.
            InferenceError: there is no reply: the server is gone, refuses, or sends what is no chat completion.
        """
        ...

    def close(self) -> None:
        """Close connections, or free the weights; closing twice is allowed."""
        ...
