"""A substitute for tf2_ros, which is not on PyPI: one buffer of direct transforms with the rules of tf2 about time."""

from __future__ import annotations

import sys
from importlib import util
from types import ModuleType
from typing import Any

import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

from instructsam_ros.messages.stamp import read_stamp_ns

CACHE_NS = 10_000_000_000


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ConnectivityException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class Buffer:
    """Keeps 10 s of transforms, by frame; ignores older ones, as tf2 does."""

    def __init__(self) -> None:
        self.frames: dict[str, list[TransformStamped]] = {}
        self.static: dict[str, TransformStamped] = {}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        kept = self.frames.setdefault(transform.child_frame_id, [])
        newest_ns = max((read_stamp_ns(each.header.stamp) for each in kept), default=0)
        if read_stamp_ns(transform.header.stamp) >= newest_ns - CACHE_NS:
            kept.append(transform)
            kept.sort(key=lambda each: read_stamp_ns(each.header.stamp))

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        self.static[transform.child_frame_id] = transform

    def clear(self) -> None:
        for kept in self.frames.values():
            kept.clear()

    def lookup_transform_core(self, target: str, source: str, time: Time) -> TransformStamped:
        if source in self.static:
            return self.static[source]
        kept = self._transforms(target, source)
        stamps_ns = [read_stamp_ns(each.header.stamp) for each in kept]
        if not stamps_ns or not stamps_ns[0] <= time.nanoseconds <= stamps_ns[-1]:
            raise ExtrapolationException('Lookup would require extrapolation')
        return min(kept, key=lambda each: abs(read_stamp_ns(each.header.stamp) - time.nanoseconds))

    def get_latest_common_time(self, target: str, source: str) -> Time:
        kept = self._transforms(target, source)
        if not kept:
            raise ConnectivityException('Could not find a connection')
        return Time(nanoseconds=max(read_stamp_ns(each.header.stamp) for each in kept))

    def _transforms(self, target: str, source: str) -> list[TransformStamped]:
        parents = {each.header.frame_id for kept in self.frames.values() for each in kept}
        for frame in (target, source):
            if frame not in self.frames and frame not in parents:
                raise LookupException(f'"{frame}" passed to lookupTransform does not exist. ')
        kept = self.frames.get(source, [])
        if source not in self.frames or any(each.header.frame_id != target for each in kept):
            raise ConnectivityException('Tf has two or more unconnected trees.')
        return kept


class TransformListener:
    """Subscribes to nothing; a test gives transforms to `buffer` of `last`."""

    last: TransformListener

    def __init__(self, buffer: Any, node: Any) -> None:
        self.buffer = buffer
        TransformListener.last = self

    def unregister(self) -> None:
        pass


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import tf2_ros` find the substitute."""
    module = ModuleType('tf2_ros')
    module.__file__ = None
    module.__spec__ = util.spec_from_loader('tf2_ros', None)
    for each in (
        Buffer,
        TransformListener,
        TransformException,
        LookupException,
        ConnectivityException,
        ExtrapolationException,
    ):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
