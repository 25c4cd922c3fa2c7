"""Recorded requests of the public client, against those of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.vlm.completion import read_completion
from instructsam_model.sam3_agent.vlm.vlm import REPLY_TOKENS
from instructsam_model.sam3_agent.vlm.wire import DataUrls, to_wire

PIXELS: NDArray[np.uint8] = np.zeros((2, 2, 3), np.uint8)
URL_KIND = 'data:image/'
BODIES: dict[str, dict[str, Any]] = {
    'ok': {'choices': [{'message': {'content': 'hello'}}]},
    'empty': {'choices': []},
    'null': {'choices': [{'message': {'content': None}}]},
}
"""What the recorded server does: the body of its answer. The server `raise` gives none."""


def check_client(cases: list[Mapping[str, Any]], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield place, expected and found value of each compared item.

    Of an image the kind of URL and `detail` are compared, not the bytes: ours are PNG files of the pixels. Which images
    are left out follows from the request, since the recorded files are not all there. The model, the server and its key
    are arguments, and `n` is the default of servers. Where the public client returns None after an error, ours raises.
    """
    for case in cases:
        name, request = case['name'], case['request']
        sent = [
            _message(message, recorded) for message, recorded in zip(case['messages'], request['messages'], strict=True)
        ]
        yield f'{name}: messages', _reduce(request['messages']), _reduce(to_wire(sent, DataUrls()))
        yield f'{name}: tokens', request['max_completion_tokens'], REPLY_TOKENS
        if case['server'] == 'raise':
            yield f'{name}: returned', case['returned'], None
        else:
            body = json.dumps(BODIES[case['server']]).encode()
            yield f'{name}: returned', case['returned'], read_completion('application/json', body).text


def _message(message: Mapping[str, Any], recorded: Mapping[str, Any]) -> Message:
    """Return a recorded message; images that were not sent have no pixels."""
    if isinstance(message['content'], str):
        return Message(message['role'], (TextPart(message['content']),))
    parts = message['content']
    is_left_out = len(parts) > len(recorded['content'])
    pixels = None if is_left_out else PIXELS
    return Message(
        message['role'],
        tuple(TextPart(part['text']) if part['type'] == 'text' else ImagePart(View('image'), pixels) for part in parts),
    )


def _reduce(messages: list[dict[str, Any]]) -> list[Any]:
    return [
        (
            message['role'],
            content if isinstance(content := message['content'], str) else [_part(part) for part in content],
        )
        for message in messages
    ]


def _part(part: Mapping[str, Any]) -> Any:
    if part['type'] != 'image_url':
        return dict(part)
    image = part['image_url']
    return {'image': image['url'].startswith(URL_KIND), 'keys': sorted(image), 'detail': image['detail']}
