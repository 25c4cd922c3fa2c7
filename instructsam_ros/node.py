"""The lifecycle node `segmenter`: images and instructions in, instance masks out."""

from __future__ import annotations

import time
import traceback
from concurrent.futures import Future as ThreadFuture
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, Segmenter
from instructsam_ros import convert
from instructsam_ros.declared import change, declare
from instructsam_ros.depth_sense import DepthSense
from instructsam_ros.diagnostics import Statistics, diagnostic_array
from instructsam_ros.logs import forward_logs
from instructsam_ros.parameters import NodeParameters, standing_instruction
from instructsam_ros.publishers import Publishers
from instructsam_ros.running import run
from instructsam_ros.segment_service import SegmentService
from instructsam_ros.srv import Segment
from instructsam_ros.subscriptions import Camera, InstructionTopic
from instructsam_ros.worker import Answer, Capture, Worker

WARMUP_SIZE_HW = (480, 640)
LOG_PERIOD_S = 5.0
"""What goes wrong with every image is logged this often."""


class Load(Protocol):
    """Makes the segmenter; the arguments are those of `instructsam_model.load_segmenter`."""

    def __call__(self, checkpoint: str, /, *, device: str, dtype: str, protocol: str) -> Segmenter:
        """Load the checkpoint; raises CheckpointError or ConfigError when that cannot be done."""
        ...


def load_checkpoint(checkpoint: str, /, *, device: str, dtype: str, protocol: str) -> Segmenter:
    """Load InstructSAM, and with it torch, which takes seconds: not before there is something to load.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    from instructsam_model import load_segmenter

    return load_segmenter(checkpoint, device=device, dtype=dtype, protocol=protocol)


class SegmenterNode(LifecycleNode):
    """Answers a standing instruction about the newest image, and single requests.

    Configuring loads the weights, activating subscribes; deactivating keeps the weights, cleaning up frees them.

    Args:
        load: makes the segmenter.
        **kwargs: as `LifecycleNode`.

    Raises:
        ConfigError: a parameter has a value that is not allowed.
    """

    def __init__(self, load: Load = load_checkpoint, **kwargs: Any) -> None:
        super().__init__('segmenter', **kwargs)
        forward_logs(self.get_logger())
        self._load = load
        self._worker: Worker | None = None
        self._camera: Camera | None = None
        self._instruction_topic = InstructionTopic(self, self._on_instruction)
        self._statistics = Statistics()
        self._depth = DepthSense(self, lambda: self._values.depth, lambda: self._outputs.wants_scene)
        # Where this raises, destroy_node must find all of the above.
        self._values = declare(self, NodeParameters)
        self._instruction = standing_instruction(self._values.instruction)
        self._outputs = Publishers(self)
        self._service = SegmentService(self, self._ask)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        steady_clock = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._heartbeat = self.create_timer(1.0, self._on_heartbeat, clock=steady_clock)
        self._autostart: Timer | None = None
        if self._values.autostart:
            self._autostart = self.create_timer(0.0, self._on_autostart, clock=steady_clock)

    @property
    def state(self) -> str:
        """`unconfigured`, `inactive` or `active`."""
        if self._worker is None:
            return 'unconfigured'
        return 'inactive' if self._camera is None else 'active'

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights; on failure say why and stay unconfigured."""
        worker = Worker(self._load_and_warm_up, convert.read_frame, self._on_answer, self._depth.complete)
        started_s = time.monotonic()
        try:
            self._depth.check()
            worker.start()
        except (CheckpointError, ConfigError) as error:
            self.get_logger().error(f'not configured: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f'not configured:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f'configured in {time.monotonic() - started_s:.1f} s')
        worker.tune(self._values.tuning)
        worker.stand(self._instruction)
        self._worker = worker
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and the instructions."""
        result = super().on_activate(state)
        self._camera = Camera(self, self._values.image_transport, self._on_image)
        self._depth.subscribe()
        self._instruction_topic.subscribe()
        self.get_logger().info(f"active, listening to '{self._camera.topic}'")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and keep the weights."""
        self._stop_listening('the node was deactivated')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the weights."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Become unconfigured again after an error of a transition."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker, then end the node."""
        self._release()
        super().destroy_node()

    def _load_and_warm_up(self) -> Segmenter:
        values = self._values
        segmenter = self._load(values.checkpoint, device=values.device, dtype=values.dtype, protocol=values.protocol)
        if values.warmup:
            blank = Frame(np.zeros((*WARMUP_SIZE_HW, 3), dtype=np.uint8))
            segmenter.segment(blank, Instruction('warm up'), values.selection)
        return segmenter

    def _stop_listening(self, reason: str) -> None:
        self._instruction_topic.unsubscribe()
        self._depth.unsubscribe()
        if self._camera is not None:
            self._camera.destroy()
            self._camera = None
        if self._worker is not None:
            self._worker.clear(reason)

    def _release(self) -> None:
        self._stop_listening('the node was shut down')
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _on_autostart(self) -> None:
        assert self._autostart is not None
        self.destroy_timer(self._autostart)
        if self.state == 'unconfigured' and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _on_image(self, message: Any) -> None:
        self._statistics.received += 1
        self._statistics.images.add()
        if self._worker is not None:
            age_ns = self.get_clock().now().nanoseconds - convert.stamp_ns(message.header.stamp)
            self._worker.offer(Capture(message, age_s=age_ns / 1e9, depth=self._depth.follow(message.header)))

    def _on_instruction(self, text: str) -> None:
        try:
            instruction = standing_instruction(text)
        except ConfigError as error:
            self.get_logger().warning(f'{error}; the former one stays', throttle_duration_sec=LOG_PERIOD_S)
            return
        if instruction == self._instruction:
            return
        self._instruction = instruction
        if self._worker is not None:
            self._worker.stand(instruction)
        self.get_logger().info(f"instruction: '{text}'" if instruction is not None else 'instruction: empty, idle')

    def _ask(self, request: Segment.Request) -> ThreadFuture[Answer]:
        if self._worker is None or self._camera is None:
            raise ConfigError(f'the node is {self.state}; configure and activate it first, as ros2 lifecycle does')
        instruction = Instruction(request.instruction)
        selection = self._values.selection
        if request.min_score != 0.0:
            selection = replace(selection, min_score=request.min_score)
        image = request.image
        is_given = image.data or image.width or image.height
        capture = Capture(image, depth=self._depth.follow(image.header)) if is_given else None
        return self._worker.ask(instruction, self._values.request_timeout, capture=capture, selection=selection)

    def _on_answer(self, answer: Answer) -> None:
        """Publish; runs in the worker thread, which must survive whatever happens here."""
        try:
            self._note(answer)
            if answer.frame is not None:
                self._statistics.latencies_s.add(self._outputs.publish(answer))
        except Exception:
            if self.context.ok():  # at shutdown the middleware goes before the thread does
                self.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)

    def _note(self, answer: Answer) -> None:
        if answer.segmentation is not None:
            self._statistics.inferences_s.add(answer.inference_s)
            return
        self._statistics.note_error(answer.error)
        if answer.frame is None:
            self._statistics.dropped += 1
            self.get_logger().warning(f'dropped: {answer.error}', throttle_duration_sec=LOG_PERIOD_S)
        else:
            self._statistics.failed += 1
            trace = ''.join(traceback.format_exception(answer.cause))
            self.get_logger().error(f'no answer: {trace}', throttle_duration_sec=LOG_PERIOD_S)

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            change(self._values, parameters, unconfigured=self._worker is None)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        self._values = change(self._values, parameters, unconfigured=self._worker is None)
        if self._worker is not None:
            self._worker.tune(self._values.tuning)
        if any(parameter.name == 'instruction' for parameter in parameters):
            self._instruction_topic.heard_now()
            self._on_instruction(self._values.instruction)

    def _on_heartbeat(self) -> None:
        if self._camera is not None:
            self._camera.warn_once(self._values.image_timeout)
        self._diagnostics.publish(self._diagnose())

    def _diagnose(self) -> DiagnosticArray:
        complaint = self._camera.complaint(self._values.image_timeout) if self._camera is not None else ''
        values = {
            'state': self.state,
            'instruction': self._instruction.text if self._instruction is not None else '',
            'checkpoint': self._values.checkpoint,
            'images replaced': str(self._worker.replaced if self._worker is not None else 0),
            'images too old': str(self._worker.too_old if self._worker is not None else 0),
            'answers without depth': str(self._depth.missed),
            **self._statistics.report(),
        }
        level, message = DiagnosticStatus.OK, self.state
        if complaint:
            level, message = DiagnosticStatus.WARN, complaint
        if self._statistics.errors.values():
            level, message = DiagnosticStatus.ERROR, self._statistics.last_error
        array = diagnostic_array(self.get_fully_qualified_name(), level, message, values)
        array.header.stamp = self.get_clock().now().to_msg()
        return array


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run(SegmenterNode, args)


if __name__ == '__main__':
    main()
