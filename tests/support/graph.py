"""`Graph`: a ROS graph for one test, with a node that publishes images and instructions and calls services."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rclpy.action.client import ActionClient
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
from instructsam_ros.tools.dds_domain import use_own_domain
from tests.support.fake_segmenter import COLORS_RGB, FakeSegmenter

TIMEOUT_S = 20.0


class Graph:
    """A ROS context with an executor in a thread; `close` ends everything in it."""

    def __init__(self) -> None:
        # A new domain for each test: endpoints of the previous one may still be in discovery.
        use_own_domain()
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
        """Add a node of this context to the executor."""
        self._nodes.append(node)
        self._executor.add_node(node)
        return node

    def segmenter(
        self,
        fake: Segmenter | None = None,
        *,
        load: Callable[..., Segmenter] | None = None,
        cli_args: Sequence[str] = (),
        **parameters: Any,
    ) -> SegmenterNode:
        """Start the node under test; with autostart and without `load`, wait until it is active."""
        fake = fake or FakeSegmenter()
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = SegmenterNode(
            load or (lambda *_, **__: fake),
            context=self.context,
            parameter_overrides=overrides,
            cli_args=list(cli_args),
        )
        self.add(node)
        if load is None and parameters.get('autostart', True):
            self.wait_for(lambda: node.state == 'active', 'the node to be active')
        return node

    def camera(self, *, reliable: bool = False, topic: str = 'image') -> Publisher[Any]:
        """A publisher of images, or of compressed images if the topic ends in compressed."""
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        message_type = CompressedImage if topic.endswith('compressed') else Image
        return self.peer.create_publisher(message_type, topic, QoSProfile(depth=1, reliability=reliability))

    def instruction_publisher(self, *, latched: bool = False) -> Publisher[String]:
        """A publisher of instructions."""
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        return self.peer.create_publisher(String, 'segmenter/instruction', QoSProfile(depth=1, durability=durability))

    def set_instruction(self, node: SegmenterNode, text: str) -> None:
        """Set the instruction by the parameter."""
        result = self.set_parameter(node, 'instruction', text)
        assert result.successful, result.reason

    def subscribe(
        self, topic: str = 'segmenter/segmentation', message_type: type[Any] = Segmentation, *, reliable: bool = True
    ) -> list[Any]:
        """A list that collects the messages of a topic from now on."""
        messages: list[Any] = []
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        self.peer.create_subscription(
            message_type, topic, messages.append, QoSProfile(depth=50, reliability=reliability)
        )
        return messages

    def header(self) -> Header:
        """A header with a unique stamp whose seconds and nanoseconds are not 0."""
        self._stamp_ns += 33_333_333
        return Header(stamp=make_stamp(self._stamp_ns), frame_id='camera_optical_frame')

    def image(self, *colors: str) -> Image:
        """An image of 64x48 with a block of each color."""
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
        """Publish images until a condition holds; return the images."""
        sent: list[Any] = []

        def publish_next() -> bool:
            if until():
                return True
            sent.append((make or (lambda: self.image('red')))())
            camera.publish(sent[-1])
            return False

        self.wait_for(publish_next, 'the effect of the images', period_s=1.0 / rate_hz)
        return sent

    def call(
        self,
        client: Any,
        request: Any,
        *,
        period_s: float = 0.01,
        timeout_s: float = TIMEOUT_S,
        retry_s: float = math.inf,
    ) -> Any:
        """Call a service and wait for the response; repeat the call every `retry_s`, as it can be lost in discovery."""
        assert client.wait_for_service(TIMEOUT_S)
        futures = [client.call_async(request)]
        called_s = time.monotonic()

        def has_response() -> bool:
            if time.monotonic() > called_s + retry_s * len(futures):
                futures.append(client.call_async(request))
            return any(future.done() for future in futures)

        self.wait_for(has_response, f'a response of {client.srv_name}', period_s=period_s, timeout_s=timeout_s)
        return next(future.result() for future in futures if future.done())

    def wait_for(
        self, condition: Callable[[], Any], what: str, *, timeout_s: float = TIMEOUT_S, period_s: float = 0.01
    ) -> None:
        """Wait until a condition holds; fail after the timeout."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f'waited {timeout_s} s for {what}'
            assert self._thread.is_alive(), 'the executor has ended: a callback raised'
            time.sleep(period_s)

    def run_in_executor(self, action: Callable[[], Any]) -> Any:
        """Run an action in the thread of the executor, as callbacks are run, and return its result."""
        task = self._executor.create_task(action)
        self.wait_for(task.done, 'the executor to run the action')
        return task.result()

    def action_client(self, action: Any, name: str, **profiles: Any) -> ActionClient[Any, Any, Any]:
        """Create a client in the thread of the executor, which would otherwise see it before it is complete."""
        client = self.run_in_executor(lambda: ActionClient(self.peer, action, name, **profiles))
        return cast('ActionClient[Any, Any, Any]', client)

    def set_parameter(self, node: Node, name: str, value: Any) -> SetParametersResult:
        """Set a parameter of a node in this context."""
        return self.run_in_executor(lambda: node.set_parameters_atomically([Parameter(name, value=value)]))

    def publish_instruction(self, publisher: Publisher[String], text: str, until: Callable[[], Any]) -> None:
        """Publish an instruction until a condition holds; messages right after discovery can be lost."""

        def publish_again() -> bool:
            if until():
                return True
            publisher.publish(String(data=text))
            return False

        self.wait_for(publish_again, f'the effect of {text[:20]!r}', period_s=0.05)

    def close(self) -> None:
        """End everything; the executor first, since it must not spin in a context that has been shut down."""
        # As a task, because the executor of Humble returns only after it has done some work.
        self._executor.create_task(self._closed.set_result, None)
        self._thread.join()
        for node in reversed(self._nodes):
            node.destroy_node()
        self._executor.shutdown(timeout_sec=0)  # Humble would wait for coroutines that it no longer resumes
        self.context.try_shutdown()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin_until_future_complete(self._closed)


class Manager:
    """Calls the lifecycle services of the node, as `ros2 lifecycle` does."""

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
