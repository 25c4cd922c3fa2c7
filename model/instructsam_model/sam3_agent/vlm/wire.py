"""Messages as an OpenAI-compatible server takes them: chat completions with images as data URLs."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import InferenceError
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, Part

DETAIL = 'high'
"""Images are not scaled down by the server."""
KEPT_URLS = 8
"""Encoded images that are kept: a conversation sends the same images again in each round."""


class DataUrls:
    """Encodes images as data URLs of PNG files; an array that was encoded lately is not encoded again.

    Arrays are recognized by identity, which is theirs alone as long as they are kept, and must not be changed. May be
    used from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[NDArray[np.uint8], str]] = OrderedDict()

    def __call__(self, pixels: NDArray[np.uint8]) -> str:
        """Return the data URL of an image, uint8 (h, w, 3) RGB.

        Raises:
            InferenceError: OpenCV cannot encode it.
        """
        with self._lock:
            if id(pixels) not in self._kept:
                self._kept[id(pixels)] = pixels, encode_png(pixels)
            self._kept.move_to_end(id(pixels))
            while len(self._kept) > KEPT_URLS:
                self._kept.popitem(last=False)
            return self._kept[id(pixels)][1]


def encode_png(pixels: NDArray[np.uint8]) -> str:
    """Return an image, uint8 (h, w, 3) RGB, as data URL of a PNG file.

    Raises:
        InferenceError: OpenCV cannot encode it.
    """
    encoded, content = cv2.imencode('.png', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise InferenceError(f'image: OpenCV cannot encode {pixels.dtype} {pixels.shape} as PNG')
    return 'data:image/png;base64,' + base64.b64encode(content.tobytes()).decode('ascii')


def to_wire(messages: Sequence[Message], data_urls: DataUrls) -> list[dict[str, Any]]:
    """Return messages as JSON of a chat completion.

    The content of a system message is text, that of others a list of parts. Images without pixels are left out.
    """
    return [
        {
            'role': message.role,
            'content': message.text
            if message.role == 'system'
            else [_part(part, data_urls) for part in message.parts if not _is_missing(part)],
        }
        for message in messages
    ]


def _is_missing(part: Part) -> bool:
    return isinstance(part, ImagePart) and part.pixels is None


def _part(part: Part, data_urls: DataUrls) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        assert part.pixels is not None  # see `_is_missing`
        return {'type': 'image_url', 'image_url': {'url': data_urls(part.pixels), 'detail': DETAIL}}
    return {'type': 'text', 'text': part.text}
