"""The service `~/segment`: one question, one answer, without holding up the executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from typing import TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_msgs.msg import Header

from instructsam_model import ConfigError
from instructsam_ros.inference.requests import InferenceRequest, InferenceResult
from instructsam_ros.messages.point_cloud2 import make_target_cloud
from instructsam_ros.messages.segmentation import make_target_mask
from instructsam_ros.node.outputs import make_answer
from instructsam_ros.srv import Segment

T = TypeVar('T')


class SegmentService:
    """Serves as long as the node exists, so that a caller is told when the node is not active instead of waiting.

    Args:
        node: the node that serves.
        ask: puts the question of a request to the scheduler; raises ConfigError when that cannot be done.
    """

    def __init__(self, node: LifecycleNode, ask: Callable[[Segment.Request], InferenceRequest]) -> None:
        self._node = node
        self._ask = ask
        # While it awaits, a callback keeps a mutually exclusive group to itself, and the images share the default one.
        group = ReentrantCallbackGroup()
        node.create_service(Segment, '~/segment', self._serve, callback_group=group)

    async def _serve(self, request: Segment.Request, response: Segment.Response) -> Segment.Response:
        try:
            pending = self._ask(request).answer
        except ConfigError as error:
            response.message = str(error)
            response.segmentation.status = response.segmentation.FAILED
            response.segmentation.request_id = request.request_id
            response.segmentation.message = str(error)
            return response
        executor = self._node.executor
        assert executor is not None  # it is what runs this
        await awaitable(pending, executor)
        return _fill(response, pending.result())


def awaitable(pending: ThreadFuture[T], executor: Executor) -> Future[None]:
    """What a coroutine that the executor runs can await until another thread has set the result of `pending`.

    The executor looks at awaiting coroutines each time it wakes, and a result alone does not wake it.
    """
    future: Future[None] = Future(executor=executor)

    def resume(_: ThreadFuture[T]) -> None:
        future.set_result(None)
        executor.wake()

    pending.add_done_callback(resume)
    return future


def _fill(response: Segment.Response, answer: InferenceResult) -> Segment.Response:
    header = answer.capture.message.header if answer.capture is not None else Header()
    response.success = answer.segmentation is not None
    response.message = answer.error
    response.segmentation = make_answer(answer, header)
    if answer.segmentation is not None:
        response.mask = make_target_mask(answer.segmentation, header)
        if answer.frame is not None:
            response.points = make_target_cloud(answer.target, answer.frame.image_rgb, header)
    return response
