"""A ROS graph for one test: the node under test, and a node that plays the camera and the planner."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from instructsam_model import Segmenter
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.segmenter_node import SegmenterNode
from instructsam_ros.tools.node_process import use_own_domain
from tests.support.fake_segmenter import COLORS_RGB, FakeSegmenter

TIMEOUT_S = 20.0


class Graph:
    """A context of its own and an executor in a thread; everything in it ends with `close`."""

    def __init__(self) -> None:
        use_own_domain()  # another one for each test: of the one before, something may still be in discovery
        self.context = Context()
        rclpy.init(args=[], context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._closed: Future[None] = Future()
        self._nodes: list[Node] = []
        self.peer = self.add(Node('camera', context=self.context))
        self._stamp_ns = time.time_ns()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def add(self, node: Any) -> Any:
        """Serve a node that was made in this context."""
        self._nodes.append(node)
        self._executor.add_node(node)
        return node

    def segmenter(
        self, fake: Segmenter | None = None, *, load: Callable[..., Segmenter] | None = None, **parameters: Any
    ) -> SegmenterNode:
        """The node under test; unless told otherwise it starts by itself, and this waits until it is active."""
        fake = fake or FakeSegmenter()
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = SegmenterNode(
            load or (lambda *_, **__: fake), context=self.context, parameter_overrides=overrides, cli_args=[]
        )
        self.add(node)
        if load is None and parameters.get('autostart', True):
            self.wait_for(lambda: node.state == 'active', 'the node to be active')
        return node

    def camera(self, *, reliable: bool = False, topic: str = 'image') -> Publisher[Any]:
        """A publisher of images; on a topic that ends in compressed, of compressed ones."""
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        kind = CompressedImage if topic.endswith('compressed') else Image
        return self.peer.create_publisher(kind, topic, QoSProfile(depth=1, reliability=reliability))

    def instruction_publisher(self, *, latched: bool = False) -> Publisher[String]:
        """A publisher of instructions."""
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        return self.peer.create_publisher(String, 'segmenter/instruction', QoSProfile(depth=1, durability=durability))

    def set_instruction(self, node: SegmenterNode, text: str) -> None:
        """Set the standing instruction without the topic."""
        result = self.set_parameter(node, 'instruction', text)
        assert result.successful, result.reason

    def subscribe(
        self, topic: str = 'segmenter/segmentation', kind: type[Any] = Segmentation, *, reliable: bool = True
    ) -> list[Any]:
        """What arrives on a topic from now on."""
        heard: list[Any] = []
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        self.peer.create_subscription(kind, topic, heard.append, QoSProfile(depth=50, reliability=reliability))
        return heard

    def header(self) -> Header:
        """A header with a stamp that no other has, and with every part of it in use."""
        self._stamp_ns += 33_333_333
        return Header(stamp=make_stamp(self._stamp_ns), frame_id='camera_optical_frame')

    def image(self, *colors: str) -> Image:
        """A picture of 64 x 48 with a block of each color."""
        pixels = np.zeros((48, 64, 3), dtype=np.uint8)
        for place, color in enumerate(colors):
            pixels[10:20, 5 + 20 * place : 15 + 20 * place] = COLORS_RGB[color]
        return make_image(pixels, 'rgb8', self.header())

    def publish_images(
        self,
        camera: Publisher[Any],
        until: Callable[[], Any],
        make: Callable[[], Any] | None = None,
        *,
        rate_hz: float = 50.0,
    ) -> list[Any]:
        """Publish pictures until the condition holds; returns them."""
        sent: list[Any] = []

        def sent_another() -> bool:
            if until():
                return True
            sent.append((make or (lambda: self.image('red')))())
            camera.publish(sent[-1])
            return False

        self.wait_for(sent_another, 'what the pictures should bring about', period_s=1.0 / rate_hz)
        return sent

    def call(
        self,
        client: Any,
        request: Any,
        *,
        period_s: float = 0.01,
        timeout_s: float = TIMEOUT_S,
        again_s: float = math.inf,
    ) -> Any:
        """Call a service and wait for its answer; the first one of another process may be lost in discovery."""
        assert client.wait_for_service(TIMEOUT_S)
        futures = [client.call_async(request)]
        asked_s = time.monotonic()

        def answered() -> bool:
            if time.monotonic() > asked_s + again_s * len(futures):
                futures.append(client.call_async(request))
            return any(future.done() for future in futures)

        self.wait_for(answered, f'an answer of {client.srv_name}', period_s=period_s, timeout_s=timeout_s)
        return next(future.result() for future in futures if future.done())

    def wait_for(
        self, condition: Callable[[], Any], what: str, *, timeout_s: float = TIMEOUT_S, period_s: float = 0.01
    ) -> None:
        """Wait until the condition holds; fail when it does not in time."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f'waited {timeout_s} s for {what}'
            assert self._thread.is_alive(), 'the executor has ended: a callback raised'
            time.sleep(period_s)

    def run_in_executor(self, action: Callable[[], Any]) -> Any:
        """Let the executor do something with a node, as it does what services and timers ask for."""
        task = self._executor.create_task(action)
        self.wait_for(task.done, 'the executor to do it')
        return task.result()

    def set_parameter(self, node: Node, name: str, value: Any) -> SetParametersResult:
        """Set a parameter of a node in this context."""
        return self.run_in_executor(lambda: node.set_parameters_atomically([Parameter(name, value=value)]))

    def publish_instruction(self, planner: Publisher[String], text: str, until: Callable[[], Any]) -> None:
        """Publish an instruction until the condition holds: what is sent right after discovery may be lost."""

        def said_again() -> bool:
            if until():
                return True
            planner.publish(String(data=text))
            return False

        self.wait_for(said_again, f'what {text[:20]!r} should bring about', period_s=0.05)

    def close(self) -> None:
        """End everything; the executor first, for shutdown takes away what a thread that still spins needs."""
        self._closed.set_result(None)
        self._thread.join()
        for node in reversed(self._nodes):
            node.destroy_node()
        self._executor.shutdown()
        self.context.try_shutdown()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin_until_future_complete(self._closed)


class Manager:
    """Drives the node through its services, as `ros2 lifecycle` does."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._change = graph.peer.create_client(ChangeState, 'segmenter/change_state')
        self._get = graph.peer.create_client(GetState, 'segmenter/get_state')

    def change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._graph.call(self._change, request).success)

    @property
    def state(self) -> str:
        return str(self._graph.call(self._get, GetState.Request()).current_state.label)
