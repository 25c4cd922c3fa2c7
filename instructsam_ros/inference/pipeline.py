"""`Pipeline`: the way of one request from its image to its published result.

The thread of the model decodes and segments; that of the results locates, tracks and publishes. The one module of this
room that uses ROS.
"""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from rclpy.node import Node

from instructsam_model import CanceledError, InferenceError, Segmenter
from instructsam_model.progress import Progress
from instructsam_ros.depth3d.depth_input import NOT_ARRIVED
from instructsam_ros.depth3d.estimator import DepthEstimator
from instructsam_ros.depth3d.missing_depth import NoDepthError
from instructsam_ros.inference.error_codes import ErrorCode, MissingOutput
from instructsam_ros.inference.failures import FailureCounter
from instructsam_ros.inference.image_sizes import ImageSizes
from instructsam_ros.inference.model_step import run_model
from instructsam_ros.inference.requests import InferenceRequest, InferenceResult
from instructsam_ros.inference.result_stage import PendingResult, ResultStage
from instructsam_ros.inference.statistics import Statistics
from instructsam_ros.inference.topic_publisher import TopicPublisher
from instructsam_ros.inference.tracking import Tracker, TrackingOptions
from instructsam_ros.messages.frame import read_frame
from instructsam_ros.messages.stamp import JUMP_BACK_NS, read_stamp_ns

LOG_PERIOD_S = 5.0
"""Minimum time between log messages about faults that may occur with every image."""


class Pipeline:
    """Decodes, segments, locates in 3D, tracks and publishes; lives as long as the node, through changes of workers.

    Args:
        node: logs.
        outputs: publishers of each camera, by its name.
        depth: locates instances in 3D.
        statistics: counts results and errors of continuous queries.

    Attributes:
        failures: of the model.
        tracking: may be replaced at any time.
        checkpoint: name of the checkpoint that is loaded, for results.
    """

    def __init__(
        self, node: Node, outputs: Mapping[str, TopicPublisher], depth: DepthEstimator, statistics: Statistics
    ) -> None:
        self._node = node
        self._outputs = outputs
        self._depth = depth
        self._statistics = statistics
        self._stage = ResultStage(self._is_ready, self._finish)
        depth.listeners.append(self._stage.notify)
        self._ids = itertools.count(1)
        # Since when a camera has sent nothing but broken images, and what is wrong with them.
        self._broken: dict[str, tuple[float, str]] = {}
        self.failures = FailureCounter()
        self.tracking = TrackingOptions()
        self.checkpoint = ''

    def run(self, request: InferenceRequest, segmenter: Segmenter, sizes: ImageSizes) -> InferenceResult | None:
        """Decode and segment; called by the thread of the model, which waits for nothing else.

        Args:
            request: with an image.
            segmenter: belongs to the calling thread.
            sizes: those that the segmenter is warmed up for.

        Returns:
            The result, with the exception if the request failed; None if a continuous query has to wait until the
            segmenter is warmed up for the size of its image.
        """
        capture = request.capture
        assert capture is not None
        try:
            # 1. Decode the message, once for all requests about this image.
            if capture.frame is None:
                capture.frame = read_frame(capture.message, capture.sensor)
            if request.query is not None and sizes.add(capture.frame.size_wh):
                return None
            # 2. Segment; the segmenter encodes the image once for all requests about this frame.
            result = run_model(request, capture, capture.frame, segmenter, partial(self._report, request))
        except BaseException as error:  # any failure is a result; the worker decides whether its thread must end
            result = InferenceResult(request.instruction, capture, error=error)
        if request.is_claimed:  # it has timed out or was canceled, and its caller knows
            return result
        self._count(request, result)
        self._stage.put(PendingResult(request, result))
        return result

    def _report(self, request: InferenceRequest, progress: Progress) -> None:
        """Log what the model is doing, and publish it to the goal; called by the thread of the model."""
        request.progress = progress
        self._node.get_logger().info(f"'{request.instruction.text}', {progress}")
        goal = request.query.goal if request.query is not None else None
        if goal is not None:
            # In the thread of the results, so that progress never comes after its result.
            self._stage.call(partial(goal.publish_progress, request, progress))

    def fail(self, request: InferenceRequest, error: Exception) -> None:
        """Finish a request with an error unless it is finished; the model is told to stop. For any thread."""
        if not request.claim():
            return
        result = InferenceResult(request.instruction, request.capture, error=error)
        # A canceled request is no error of the node.
        if request.query is not None and not isinstance(error, CanceledError):
            self._statistics.add_error(result.message)
        self._publish(request, result)

    def open(self) -> None:
        """Publish results from now on."""
        for outputs in self._outputs.values():
            outputs.open()

    def close(self, reason: str) -> None:
        """Withdraw all results and publish no more; waits while a result is being published."""
        for outputs in self._outputs.values():
            outputs.close(reason)

    def withdraw(self, instruction: str, reason: str) -> None:
        """Withdraw the results of an instruction, whose query is canceled, from all cameras; does not wait."""
        for outputs in self._outputs.values():
            self._stage.call(partial(outputs.withdraw, instruction, reason))

    def withdraw_camera(self, camera: str, reason: str) -> None:
        """Withdraw all results of a camera, which are out of date; does not wait."""
        self._stage.call(partial(self._outputs[camera].withdraw_all, reason))

    def withdraw_broken(self, timeout_s: float) -> None:
        """Withdraw the results of cameras that have sent nothing but broken images for some time; does not wait."""
        for camera, (since_s, message) in tuple(self._broken.items()):
            broken_s = time.monotonic() - since_s
            if broken_s > timeout_s:
                self.withdraw_camera(camera, f'no valid image for {broken_s:.0f} s: {message}')

    def cancel(self, error: Exception) -> None:
        """Fail the requests whose results wait for depth or a transform. For any thread."""
        for pending in self._stage.clear():
            self.fail(pending.request, error)

    def restart(self, now_ns: int | None) -> None:
        """Wait no longer for what results of images in the future lack, after time has jumped back to `now_ns`.

        None means that another clock is used from now on, so that all results are meant.
        """

        def is_past(pending: PendingResult) -> bool:
            capture = pending.request.capture
            if now_ns is None or capture is None:
                return True
            return read_stamp_ns(capture.message.header.stamp) > now_ns + JUMP_BACK_NS

        self._stage.flush(is_past)

    @property
    def waiting(self) -> int:
        """Number of results that are not published."""
        return self._stage.waiting

    def drain(self, timeout_s: float) -> None:
        """Finish all results that wait, within a time, and end the thread of the results."""
        self._stage.close(timeout_s)

    def _is_ready(self, pending: PendingResult) -> bool:
        request, result = pending.request, pending.result
        if request.is_canceled() or result.segmentation is None or result.capture is None:
            return True
        if not (result.segmentation.instances or self._needs_scene(request)):
            return True
        try:
            return self._depth.is_ready(result.capture.depth)
        except Exception:
            self._log_exception()
            return True

    def _finish(self, pending: PendingResult) -> None:
        """Locate, track and publish; called by the thread of the results."""
        request = pending.request
        # 3. Locate the instances in 3D.
        result = self._locate(pending)
        if not request.claim():  # it has timed out or was canceled meanwhile
            return
        # 4. Track: give the instances ids.
        try:
            result = self._track(request, result)
        except Exception:
            self._log_exception()
        # 5. Publish.
        self._publish(request, result)

    def _needs_scene(self, request: InferenceRequest) -> bool:
        is_for_topics = request.query is not None and request.query.goal is None
        return is_for_topics and self._outputs[request.camera].needs_scene

    def _locate(self, pending: PendingResult) -> InferenceResult:
        request, result = pending.request, pending.result
        capture, segmentation = result.capture, result.segmentation
        if capture is None or segmentation is None:
            return result
        located = self._depth.locate(capture.depth, segmentation, needs_scene=self._needs_scene(request))
        no_points, no_boxes = (
            _missing_output(error, is_cut_short=pending.is_cut_short) for error in (located.no_points, located.no_boxes)
        )
        return replace(
            result,
            geometry=located.geometry,
            no_points=no_points,
            no_boxes=no_boxes,
            geometry_frame_id=located.frame_id,
        )

    def _track(self, request: InferenceRequest, result: InferenceResult) -> InferenceResult:
        query, segmentation, options = request.query, result.segmentation, self.tracking
        if query is None or segmentation is None or not options.enabled:
            return result
        lap = result.capture.lap if result.capture is not None else 0
        tracker = query.tracker(request.camera, lap, lambda: Tracker(lambda: str(next(self._ids))))
        tracker.options = options
        instances = tracker.update(segmentation.instances)
        return replace(result, segmentation=replace(segmentation, instances=instances))

    def _publish(self, request: InferenceRequest, result: InferenceResult) -> None:
        result = replace(result, checkpoint=self.checkpoint)
        query = request.query
        if query is None:  # the caller of ~/segment waits for it
            request.finish(result)
            return
        self._statistics.add_result(result)
        # A broken image has no size to report, and the results of a canceled goal have no reader.
        if result.frame is None and not isinstance(result.error, CanceledError):
            self._broken.setdefault(request.camera, (time.monotonic(), result.message))
        else:
            self._broken.pop(request.camera, None)
        if result.frame is None or query.canceled.is_set():
            return
        try:
            if query.goal is not None:
                query.goal.publish(result)
            else:
                latency_s = self._outputs[request.camera].publish(result, query.canceled)
                if latency_s is not None:
                    self._statistics.latencies_s.add(latency_s)
        except Exception:
            self._log_exception()

    def _count(self, request: InferenceRequest, result: InferenceResult) -> None:
        """Count a result, and log why a continuous query failed."""
        if result.error is None:
            self.failures.add_success()
        else:
            self.failures.add(result.error)
        # The caller of a single request gets its error; statistics are those of the stream.
        if request.query is None or isinstance(result.error, CanceledError):
            return
        if result.error is None:
            self._statistics.inferences_s.add(result.inference_s)
            return
        self._statistics.add_error(result.message)
        logger = self._node.get_logger()
        if result.frame is None:
            self._statistics.dropped += 1
            logger.warning(f'dropped: {result.message}', throttle_duration_sec=LOG_PERIOD_S)
        else:
            self._statistics.failed += 1
            # A message of InferenceError says all; other exceptions are bugs or failures of the device.
            is_expected = isinstance(result.error, InferenceError)
            said = result.message if is_expected else ''.join(traceback.format_exception(result.error))
            logger.error(f'inference failed: {said}', throttle_duration_sec=LOG_PERIOD_S)

    def _log_exception(self) -> None:
        """Log the exception being handled; the worker's thread must survive it."""
        if self._node.context.ok():  # publishing fails at shutdown, because the context ends before the thread
            self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)


def _missing_output(error: NoDepthError | None, *, is_cut_short: bool) -> MissingOutput | None:
    """Return why points or boxes are missing, for clients."""
    if error is None:
        return None
    may_come = error.code in (ErrorCode.NO_DEPTH, ErrorCode.NO_TRANSFORM) and error.kind not in NOT_ARRIVED
    suffix = '; it was not waited for any longer, because too many results or the caller were waiting'
    return MissingOutput(ErrorCode(error.code), f'{error}{suffix if is_cut_short and may_come else ""}')
