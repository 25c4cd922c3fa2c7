from __future__ import annotations

import base64

import cv2
import numpy as np

from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View
from instructsam_model.sam3_agent.vlm.wire import DataUrls, to_wire

IMAGE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def test_messages_have_the_form_of_the_api() -> None:
    # As the public agent sends them: tests/golden/agent/pure/client.json.
    messages = [
        Message('system', (TextPart('S'),)),
        Message('user', (ImagePart(View('image'), IMAGE), TextPart('q'), ImagePart(View('masks'), None))),
        Message('assistant', (TextPart('a'),)),
    ]
    urls = DataUrls()
    image = {'type': 'image_url', 'image_url': {'url': urls(IMAGE), 'detail': 'high'}}
    assert to_wire(messages, urls) == [
        {'role': 'system', 'content': 'S'},
        {'role': 'user', 'content': [image, {'type': 'text', 'text': 'q'}]},
        {'role': 'assistant', 'content': [{'type': 'text', 'text': 'a'}]},
    ]


def test_images_are_sent_without_loss_and_encoded_once() -> None:
    urls = DataUrls()
    url = urls(IMAGE)
    assert urls(IMAGE) is url
    head, _, content = url.partition(',')
    assert head == 'data:image/png;base64'
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), IMAGE)


def test_arrays_at_the_address_of_earlier_ones_are_not_mixed_up() -> None:
    urls = DataUrls()
    for value in range(40):
        image = np.full((3, 3, 3), value, np.uint8)
        assert urls(image) == DataUrls()(image)
