"""Records a camera for some seconds, then plays the recording again and again, as `ros2 bag play --loop --clock` does.

Stamps are those of the recording, so that /clock and they jump back at the start of each lap. For the soak test:

python -m instructsam_ros.sim.lap_player --ros-args -p lap_s:=25.0 -p speed:=2.0
ros2 param set /lap_player muted "['depth/image']"
"""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from instructsam_ros.distribution import add_parameter_callbacks
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.node.entrypoint import run_node
from instructsam_ros.node.parameter_declaration import change, check_change, declare
from instructsam_ros.options import ParameterGroup, parameter

PREFIX = 'recorded'
"""Namespace of the topics that are recorded."""
STAMP_OFFSETS = {'/tf': 8, 'camera_info': 4, 'image': 4, 'depth/image': 4}
"""Topic: byte of the first stamp in a serialized message (CDR). In the order of messages with the same stamp."""
TYPES = {
    '/tf': 'tf2_msgs/TFMessage',
    'camera_info': 'sensor_msgs/CameraInfo',
    'image': 'sensor_msgs/Image',
    'depth/image': 'sensor_msgs/Image',
}
GAP_S = 0.1
"""Time between the last message of a lap and the first of the next one, in seconds of the recording."""


@dataclass(frozen=True)
class PlayerParameters(ParameterGroup):
    """Parameters of the node; descriptions are in the metadata of the fields.

    Raises:
        ConfigError: a value is invalid.
    """

    lap_s: float = parameter(25.0, 'Length of the recording in seconds.', range_=(0.1, 3600.0), mutable='never')
    speed: float = parameter(2.0, 'Speed of the recording.', range_=(0.1, 10.0), mutable='never')
    tf_rate_hz: float = parameter(5.0, 'Hz; maximum rate of /tf in the recording.', range_=(0.1, 1000.0))
    muted: tuple[str, ...] = parameter(('',), 'Topics that are not published.')
    broken: tuple[str, ...] = parameter(('',), 'Topics whose messages are published without data.')


@dataclass(order=True)
class RecordedMessage:
    """One message.

    Attributes:
        stamp_ns: its stamp.
        rank: of its topic among messages with the same stamp.
        topic: its topic.
        data: serialized.
    """

    stamp_ns: int
    rank: int
    topic: str = field(compare=False)
    data: bytes = field(compare=False)


class LapPlayer(Node):
    """Subscribes to `recorded/...` until the recording is long enough, and then publishes it in a thread."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('lap_player', **kwargs)
        self._values = declare(self, PlayerParameters(), kwargs)
        self._ended = threading.Event()
        self._messages: list[RecordedMessage] = []
        self._thread: threading.Thread | None = None
        self._types = {topic: _message_type(name) for topic, name in TYPES.items() if find_spec(name.split('/')[0])}
        reliable = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        self._inputs = [
            self.create_subscription(
                kind, f'{PREFIX}/{topic.lstrip("/")}', lambda data, topic=topic: self._record(topic, data), reliable,
                raw=True,
            )
            for topic, kind in self._types.items()
        ]  # fmt: skip
        self._clock_publisher = self.create_publisher(Clock, '/clock', 10)
        self._outputs: dict[str, Publisher[Any]] = {
            topic: self.create_publisher(kind, topic, 10) for topic, kind in self._types.items()
        }
        add_parameter_callbacks(self, self._check_parameters, self._apply_parameters)

    def destroy_node(self) -> None:
        """Stop playing, then destroy the node."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        super().destroy_node()

    def _record(self, topic: str, data: bytes) -> None:
        if self._thread is not None:
            return
        seconds, nanoseconds = struct.unpack_from('<iI', data, STAMP_OFFSETS[topic])
        stamp_ns = read_stamp_ns(Time(sec=seconds, nanosec=nanoseconds))
        self._messages.append(RecordedMessage(stamp_ns, list(TYPES).index(topic), topic, bytes(data)))
        if stamp_ns - self._messages[0].stamp_ns >= self._values.lap_s * 1e9:
            self._thread = threading.Thread(target=self._play, name='player')
            self._thread.start()

    def _play(self) -> None:
        messages = sorted(self._messages)
        self.get_logger().info(f'playing {len(messages)} messages')
        while not self._ended.is_set():
            started_s, newest_tf_ns = time.monotonic(), 0
            for message in messages:
                due_s = (message.stamp_ns - messages[0].stamp_ns) / 1e9 / self._values.speed
                if self._ended.wait(max(0.0, started_s + due_s - time.monotonic())):
                    return
                if message.topic == '/tf':
                    if message.stamp_ns - newest_tf_ns < 1e9 / self._values.tf_rate_hz:
                        continue
                    newest_tf_ns = message.stamp_ns
                self._publish(message)
            self._ended.wait(GAP_S / self._values.speed)

    def _publish(self, message: RecordedMessage) -> None:
        self._clock_publisher.publish(Clock(clock=make_stamp(message.stamp_ns)))
        if message.topic in self._values.broken:
            self._outputs[message.topic].publish(self._types[message.topic]())
        elif message.topic not in self._values.muted:
            self._outputs[message.topic].publish(message.data)

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        return check_change(self._values, parameters)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        self._values = change(self._values, parameters)


def _message_type(name: str) -> type[Any]:
    package, _, kind = name.partition('/')
    return getattr(import_module(f'{package}.msg'), kind)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run_node(LapPlayer, args)


if __name__ == '__main__':
    main()
