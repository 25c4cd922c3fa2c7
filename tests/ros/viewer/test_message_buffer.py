"""The buffer of the viewer: the newest messages win, results find their images, memory is bounded."""

from __future__ import annotations

import threading

import pytest
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Segmentation
from instructsam_ros.viewer import message_buffer
from instructsam_ros.viewer.message_buffer import MessageBuffer, Update


def header(number: int, frame_id: str = 'camera') -> Header:
    return Header(stamp=make_stamp(number), frame_id=frame_id)


def image(number: int, size: int = 1) -> Image:
    return Image(header=header(number), data=bytes(size))


def result(number: int, frame_id: str = 'camera') -> Segmentation:
    return Segmentation(header=header(number, frame_id))


def take(buffer: MessageBuffer) -> Update:
    guard = threading.Timer(10.0, buffer.close)  # makes the test fail instead of hang
    guard.start()
    update = buffer.take()
    guard.cancel()
    assert update is not None
    return update


def test_take_returns_the_newest_messages():
    buffer = MessageBuffer()
    images, results, clouds = ([make(number) for number in range(3)] for make in (image, result, cloud))
    for message in images:
        buffer.put_image(message)
    for message in results:
        buffer.put_result(message)
    for message in clouds:
        buffer.put_cloud(message)
    update = take(buffer)
    assert (update.image, update.result, update.cloud) == (images[2], results[2], clouds[2])
    buffer.put_image(images[0])
    update = take(buffer)
    assert (update.image, update.result, update.result_image, update.cloud) == (images[0], None, None, None)


def cloud(number: int) -> PointCloud2:
    return PointCloud2(header=header(number))


def test_result_finds_its_image_among_newer_ones():
    buffer = MessageBuffer()
    images = [image(number) for number in range(5)]
    for message in images:
        buffer.put_image(message)
    take(buffer)
    buffer.put_result(result(1))
    assert take(buffer).result_image is images[1]
    buffer.put_result(result(1))  # for another instruction on the same image
    assert take(buffer).result_image is images[1]


def test_result_waits_for_a_late_image():
    buffer = MessageBuffer()
    buffer.put_result(result(1))
    late = image(1)
    timer = threading.Timer(0.05, buffer.put_image, [late])
    timer.start()
    update = take(buffer)
    timer.join()
    assert update.result_image is late


def test_result_without_image_is_returned_after_the_timeout(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(message_buffer, 'IMAGE_TIMEOUT_S', 0.05)
    buffer = MessageBuffer()
    buffer.put_image(image(1))
    take(buffer)
    buffer.put_result(result(1, frame_id='another_camera'))
    update = take(buffer)
    assert update.result is not None
    assert update.result_image is None


def test_frequent_results_without_images_do_not_extend_the_timeout(monkeypatch: pytest.MonkeyPatch):
    clock = [100.0]
    monkeypatch.setattr(message_buffer.time, 'monotonic', lambda: clock[0])
    buffer = MessageBuffer()
    for number in range(4):
        buffer.put_result(result(number))
        clock[0] += 0.2
    newest = take(buffer).result
    assert newest is not None
    assert newest.header == header(3)


def test_oldest_images_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(message_buffer, 'BUFFER_BYTES', 100)
    monkeypatch.setattr(message_buffer, 'IMAGE_TIMEOUT_S', 0.0)
    buffer = MessageBuffer()
    for number in (1, 1, 2, 3):  # the same stamp twice counts once
        buffer.put_image(image(number, size=40))
    found = []
    for number in (1, 2, 3):
        buffer.put_result(result(number))
        found.append(take(buffer).result_image is not None)
    assert found == [False, True, True]


def test_close_ends_take():
    buffer = MessageBuffer()
    threading.Timer(0.05, buffer.close).start()
    assert buffer.take() is None
