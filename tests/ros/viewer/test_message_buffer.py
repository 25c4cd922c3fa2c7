"""What a viewer has heard: newest wins, answers find their pictures, nothing piles up."""

from __future__ import annotations

import threading

import pytest
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Segmentation
from instructsam_ros.viewer import message_buffer
from instructsam_ros.viewer.message_buffer import MessageBuffer, News


def header(number: int, frame_id: str = 'camera') -> Header:
    return Header(stamp=make_stamp(number), frame_id=frame_id)


def picture(number: int, size: int = 1) -> Image:
    return Image(header=header(number), data=bytes(size))


def answer(number: int, frame_id: str = 'camera') -> Segmentation:
    return Segmentation(header=header(number, frame_id))


def take(store: MessageBuffer) -> News:
    guard = threading.Timer(10.0, store.close)  # what is never ready fails the test, it does not stop it
    guard.start()
    news = store.take()
    guard.cancel()
    assert news is not None
    return news


def test_the_newest_wins():
    store = MessageBuffer()
    pictures, answers, clouds = ([make(number) for number in range(3)] for make in (picture, answer, cloud))
    for message in pictures:
        store.put_picture(message)
    for message in answers:
        store.put_answer(message)
    for message in clouds:
        store.put_cloud(message)
    news = take(store)
    assert (news.picture, news.answer, news.cloud) == (pictures[2], answers[2], clouds[2])
    store.put_picture(pictures[0])
    news = take(store)
    assert (news.picture, news.answer, news.answered_picture, news.cloud) == (pictures[0], None, None, None)


def cloud(number: int) -> PointCloud2:
    return PointCloud2(header=header(number))


def test_an_answer_finds_its_picture_among_newer_ones():
    store = MessageBuffer()
    pictures = [picture(number) for number in range(5)]
    for message in pictures:
        store.put_picture(message)
    take(store)
    store.put_answer(answer(1))
    assert take(store).answered_picture is pictures[1]
    store.put_answer(answer(1))  # of another instruction
    assert take(store).answered_picture is pictures[1]


def test_an_answer_waits_for_a_picture_that_comes_late():
    store = MessageBuffer()
    store.put_answer(answer(1))
    late = picture(1)
    timer = threading.Timer(0.05, store.put_picture, [late])
    timer.start()
    news = take(store)
    timer.join()
    assert news.answered_picture is late


def test_an_answer_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(message_buffer, 'PATIENCE_S', 0.05)
    store = MessageBuffer()
    store.put_picture(picture(1))
    take(store)
    store.put_answer(answer(1, frame_id='another_camera'))
    news = take(store)
    assert news.answer is not None
    assert news.answered_picture is None


def test_answers_without_pictures_do_not_put_each_other_off(monkeypatch: pytest.MonkeyPatch):
    clock = [100.0]
    monkeypatch.setattr(message_buffer.time, 'monotonic', lambda: clock[0])
    store = MessageBuffer()
    for number in range(4):
        store.put_answer(answer(number))
        clock[0] += 0.2
    newest = take(store).answer
    assert newest is not None
    assert newest.header == header(3)


def test_old_pictures_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(message_buffer, 'KEPT_BYTES', 100)
    monkeypatch.setattr(message_buffer, 'PATIENCE_S', 0.0)
    store = MessageBuffer()
    for number in (1, 1, 2, 3):  # the same stamp twice counts once
        store.put_picture(picture(number, size=40))
    found = []
    for number in (1, 2, 3):
        store.put_answer(answer(number))
        found.append(take(store).answered_picture is not None)
    assert found == [False, True, True]


def test_closing_lets_go():
    store = MessageBuffer()
    threading.Timer(0.05, store.close).start()
    assert store.take() is None
