"""The language model of the session in docs/agent.md: it looks for mugs, checks each, and takes the first.

`python -m tests.support.vlm_session` serves it on port 8000 until it is interrupted.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from tests.support.fake_vlm_answers import Answer, image_count
from tests.support.fake_vlm_server import serve_vlm
from tests.support.scripted_vlm import ACCEPT, EXAMINE, find, select

PORT = 8000


def think(body: dict[str, Any]) -> Answer:
    """Return the next reply, after the time that a small model might need."""
    messages = body['messages']
    if image_count({'messages': messages[-1:]}) == 3:  # the image, one mask, its zoom pair
        return Answer(ACCEPT, delay_s=0.5)
    if len(messages) == 2:
        return Answer(find('mug'), delay_s=1.0)
    if EXAMINE not in str(messages[-2]):
        return Answer(EXAMINE, delay_s=1.0)
    return Answer(select(1), delay_s=2.0)


def main() -> None:
    """Serve until the process is interrupted."""
    with serve_vlm(think, schema='ignored', port=PORT) as server, suppress(KeyboardInterrupt):
        print(f'{server.url} is ready', flush=True)
        threading.Event().wait()


if __name__ == '__main__':
    main()
