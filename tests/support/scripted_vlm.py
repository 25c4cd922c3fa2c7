"""A vision-language model without a network for tests of the agent: it replies by a script."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from instructsam_model.datatypes import never
from instructsam_model.errors import InferenceError, raise_if_canceled
from instructsam_model.sam3_agent.core.actions import Reply
from instructsam_model.sam3_agent.core.limits import Usage
from instructsam_model.sam3_agent.core.messages import CallKind, Message
from instructsam_model.sam3_agent.vlm.vlm import REPLY_TOKENS

ACCEPT, REJECT = '<verdict>Accept</verdict>', '<verdict>Reject</verdict>'


def call(name: str, **parameters: Any) -> str:
    """Return the reply that calls a tool."""
    return f'<tool>{json.dumps({"name": name, "parameters": parameters})}</tool>'


def find(phrase: str) -> str:
    return call('segment_phrase', text_prompt=phrase)


def select(*numbers: int) -> str:
    return call('select_masks_and_return', final_answer_masks=list(numbers))


EXAMINE, REPORT = call('examine_each_mask'), call('report_no_mask')


class ScriptedVlm:
    """Replies by a script; see `Vlm`.

    Args:
        replies: in order; an exception is raised, a number is a time in seconds to wait before the next reply.

    Attributes:
        asked: kind of each call, and its messages.
        closed: number of calls of `close`.
    """

    def __init__(self, replies: Iterable[str | float | Exception]) -> None:
        self._replies = iter(replies)
        self.asked: list[tuple[CallKind, Sequence[Message]]] = []
        self.closed = 0

    def chat(
        self,
        messages: Sequence[Message],
        kind: CallKind,
        *,
        max_tokens: int = REPLY_TOKENS,
        timeout_s: float | None = None,
        is_canceled: Callable[[], bool] = never,
    ) -> Reply:
        """Reply as the class says."""
        raise_if_canceled(is_canceled)
        self.asked.append((kind, messages))
        reply = next(self._replies, None)
        if isinstance(reply, (int, float)):
            _wait(reply, timeout_s, is_canceled)
            reply = next(self._replies, None)
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply, Usage(prompt_tokens=100 * len(messages), completion_tokens=10), 'stop')

    def close(self) -> None:
        """Count the call."""
        self.closed += 1


def _wait(delay_s: float, timeout_s: float | None, is_canceled: Callable[[], bool]) -> None:
    started_s = time.monotonic()
    while (waited_s := time.monotonic() - started_s) < delay_s:
        raise_if_canceled(is_canceled)
        if timeout_s is not None and waited_s > timeout_s:
            raise InferenceError(f'no reply within {timeout_s:g} s')
        time.sleep(0.005)
