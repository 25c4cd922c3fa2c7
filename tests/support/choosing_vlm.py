"""A server of a language model that searches for the first of some phrases in the query, and selects all masks."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.support.fake_vlm_answers import image_count
from tests.support.fake_vlm_server import FakeVlmServer
from tests.support.scripted_vlm import REPORT, find, select

PHRASES = ('red mug', 'plate', 'red box')


@cache
def choosing_server() -> FakeVlmServer:
    """Return the server, which runs until the process ends."""
    server = FakeVlmServer(choose)
    server.start()
    return server


def choose(body: dict[str, Any]) -> str:
    """Return the next tool call: find the phrase, then select all masks, or report that there are none."""
    messages = body['messages']
    if len(messages) == 2:  # the system prompt and the query
        said = ' '.join(part['text'] for part in messages[1]['content'] if part['type'] == 'text')
        return find(next(phrase for phrase in PHRASES if phrase in said))
    return select(*range(1, 201)) if image_count({'messages': messages[-1:]}) else REPORT
