"""`SegmentService`: the service `~/segment`, which does not block the executor."""

from __future__ import annotations

from concurrent.futures import Future as ThreadFuture
from typing import TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future

from instructsam_model import RequestError
from instructsam_ros.inference.error_codes import BusyError, error_code, error_message
from instructsam_ros.inference.requests import InferenceResult
from instructsam_ros.inference.statistics import Statistics
from instructsam_ros.messages.segmentation import make_target_mask
from instructsam_ros.node.client_requests import ClientRequests
from instructsam_ros.node.reply_pacer import BURST, ReplyPacer
from instructsam_ros.node.request_limits import REQUEST_QOS
from instructsam_ros.node.result_message import make_depth_message, make_result_message, make_target_points
from instructsam_ros.srv import Segment

T = TypeVar('T')


class SegmentService:
    """The service; it exists as long as the node, so that a client of an inactive node gets an error at once.

    Args:
        node: provides the service.
        requests: checks requests and enqueues them.
        statistics: counts replies.
    """

    def __init__(self, node: LifecycleNode, requests: ClientRequests, statistics: Statistics) -> None:
        self._node = node
        self._requests = requests
        self._pacer = ReplyPacer()
        self._statistics = statistics
        # A callback that awaits blocks a mutually exclusive group, and the subscriptions are in the default one.
        group = ReentrantCallbackGroup()
        node.create_service(Segment, '~/segment', self._serve, qos_profile=REQUEST_QOS, callback_group=group)

    async def _serve(self, request: Segment.Request, response: Segment.Response) -> Segment.Response:
        response = await self._reply(request, response)
        self._statistics.add_reply(response.error_code, response.message)
        return response

    async def _reply(self, request: Segment.Request, response: Segment.Response) -> Segment.Response:
        pending: ThreadFuture[InferenceResult]
        try:
            pending = self._requests.submit(request).future
        except RequestError as refused:
            pending = ThreadFuture()
            pending.set_exception(refused)
        executor = self._node.executor
        assert executor is not None  # it runs this coroutine
        # While this coroutine waits, the executor handles images and other requests.
        await awaitable(self._paced(pending), executor)
        self._pacer.finish()
        error = pending.exception()
        return _refuse(request, response, error) if error is not None else _fill(response, pending.result())

    def _paced(self, pending: ThreadFuture[InferenceResult]) -> ThreadFuture[None]:
        """Return a future that is done when `pending` is, and the reply to it fits the queues of the clients."""
        turn: ThreadFuture[None] = ThreadFuture()

        def take_turn(_: ThreadFuture[InferenceResult]) -> None:
            # Few requests at a time, such as those of one client in a row, are never held up.
            is_burst = self._requests.waiting > BURST or isinstance(pending.exception(), BusyError)
            self._pacer.take_turn(lambda: turn.set_result(None), urgent=not is_burst)

        pending.add_done_callback(take_turn)
        return turn


def awaitable(pending: ThreadFuture[T], executor: Executor) -> Future[None]:
    """Return a future for `await` in a coroutine of the executor; done when another thread has set `pending`.

    The executor resumes coroutines only when it wakes up, and setting a result does not wake it up.
    """
    future: Future[None] = Future(executor=executor)

    def resume(_: ThreadFuture[T]) -> None:
        future.set_result(None)
        executor.wake()

    pending.add_done_callback(resume)
    return future


def _refuse(request: Segment.Request, response: Segment.Response, error: BaseException) -> Segment.Response:
    segmentation = response.segmentation
    segmentation.instruction, segmentation.request_id = request.instruction, request.request_id
    segmentation.status = segmentation.FAILED
    segmentation.error_code = response.error_code = int(error_code(error))
    segmentation.message = response.message = error_message(error)
    return response


def _fill(response: Segment.Response, result: InferenceResult) -> Segment.Response:
    response.success = result.error is None
    response.error_code = int(result.error_code)
    response.segmentation = make_result_message(result)
    response.message = result.message or _note(result)
    if result.segmentation is not None:
        header = response.segmentation.header
        response.mask = make_target_mask(result.segmentation, header)
        if result.frame is not None:
            response.points = make_target_points(result, header)
    return response


def _note(result: InferenceResult) -> str:
    """Return what a client has to know about a success: why it lacks instances, points or boxes; mostly empty."""
    segmentation = result.segmentation
    if segmentation is not None and not segmentation.instances and result.excluded:
        return (
            f'no instance at the prompt: {result.excluded} found, none of them contains one of prompt_points and '
            'overlaps prompt_region'
        )
    return make_depth_message(result)
