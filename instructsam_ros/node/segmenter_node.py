"""The lifecycle node `segmenter`: images and instructions in, instance masks out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from instructsam_model import CheckpointError, ConfigError, Instruction, Selection, prepare_threads
from instructsam_ros.action import Track
from instructsam_ros.depth3d.estimator import DepthEstimator
from instructsam_ros.inference.active_instructions import ActiveInstructions
from instructsam_ros.inference.pipeline import LOG_PERIOD_S, Answers
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery, InferenceRequest, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.supervisor import Supervisor
from instructsam_ros.messages.image import read_frame
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.node.backend_loader import Load, load_checkpoint, load_warm
from instructsam_ros.node.camera_sizes import CameraSizes
from instructsam_ros.node.diagnostics import Health, Statistics, diagnostic_array
from instructsam_ros.node.entrypoint import run
from instructsam_ros.node.logging_bridge import forward_logs
from instructsam_ros.node.parameter_declaration import change, declare
from instructsam_ros.node.parameters import NodeParameters, standing_instruction, standing_instructions
from instructsam_ros.node.segment_service import SegmentService
from instructsam_ros.node.subscriptions import Camera, InstructionTopic
from instructsam_ros.node.track_action import TrackAction
from instructsam_ros.srv import Segment


class SegmenterNode(LifecycleNode):
    """Answers standing instructions about the newest images, single requests, and goals.

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
        self._supervisor: Supervisor | None = None
        self._sizes: CameraSizes | None = None
        self._track: TrackAction | None = None
        self._cameras: list[Camera] = []
        self._instruction_topic = InstructionTopic(self, self._on_instruction)
        self._statistics = Statistics()
        self._health = Health()
        self._depth = DepthEstimator(self, lambda: self._values.depth, lambda camera: self._answers.wants_scene(camera))
        # Where this raises, destroy_node must find all of the above.
        self._values = declare(self, NodeParameters)
        self._scheduler = Scheduler(self._values.camera_names)
        self._answers = Answers(self, self._values, self._statistics)
        self._standing = ActiveInstructions(self._scheduler, self._answers.deliver)
        self._standing.instruct(standing_instruction(self._values.instruction))
        self._standing.instruct_further(standing_instructions(self._values.instructions))
        self._scheduler.tune(self._values.tuning)
        self._service = SegmentService(self, self._ask)
        self._track = TrackAction(self, self._answers, self._follow, self._standing.unfollow)
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
        if self._supervisor is None:
            return 'unconfigured'
        return 'active' if self._cameras else 'inactive'

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights; on failure say why and stay unconfigured."""
        sizes = self._values.sizes
        load = partial(load_warm, self._load, self._values, sizes)
        supervisor = Supervisor(load, read_frame, self._scheduler, self._depth.complete, sizes)
        started_s = time.monotonic()
        try:
            self._depth.check()
            supervisor.start()
        except (CheckpointError, ConfigError) as error:
            self.get_logger().error(f'not configured: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f'not configured:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f'configured in {time.monotonic() - started_s:.1f} s')
        supervisor.limits = self._values.limits
        self._supervisor = supervisor
        self._sizes = CameraSizes(self, self._values.camera_names, sizes, self._scheduler.wake)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and the instructions."""
        result = super().on_activate(state)
        assert self._supervisor is not None
        self._supervisor.forgive()
        self._health.given_up = ''
        names, transport = self._values.camera_names, self._values.image_transport
        self._cameras = [Camera(self, transport, partial(self._on_image, name), name) for name in names]
        self._depth.subscribe(names)
        self._instruction_topic.subscribe()
        topics = ', '.join(f"'{camera.topic}'" for camera in self._cameras)
        self.get_logger().info(f'active, listening to {topics}')
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
        if self._track is not None:
            self._track.destroy()
        super().destroy_node()

    def _stop_listening(self, reason: str) -> None:
        self._instruction_topic.unsubscribe()
        self._depth.unsubscribe()
        for camera in self._cameras:
            camera.destroy()
        self._cameras = []
        if self._track is not None:
            self._track.end_all(reason)
        if self._supervisor is not None:
            self._scheduler.clear(reason)

    def _release(self) -> None:
        reason = 'the node was shut down'
        self._stop_listening(reason)
        if self._sizes is not None:
            self._sizes.destroy()
            self._sizes = None
        if self._supervisor is not None:
            self._supervisor.stop(reason)
            self._supervisor = None

    def _on_autostart(self) -> None:
        assert self._autostart is not None
        self.destroy_timer(self._autostart)
        if self.state == 'unconfigured' and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _on_image(self, camera: str, message: Any) -> None:
        self._statistics.received += 1
        self._statistics.images.add()
        if self._sizes is not None:
            self._sizes.see(message)
        age_ns = self.get_clock().now().nanoseconds - read_stamp_ns(message.header.stamp)
        self._scheduler.offer(CapturedImage(message, camera, age_ns / 1e9, self._depth.follow(camera, message.header)))

    def _on_instruction(self, text: str) -> None:
        try:
            instruction = standing_instruction(text)
        except ConfigError as error:
            self.get_logger().warning(f'{error}; the former one stays', throttle_duration_sec=LOG_PERIOD_S)
            return
        if instruction == self._standing.single:
            return
        self._standing.instruct(instruction)
        self._answers.forget_all_but(self._standing.texts)
        self.get_logger().info(f"instruction: '{text}'" if instruction is not None else 'instruction: empty, idle')

    def _ask(self, request: Segment.Request) -> InferenceRequest:
        selection, camera = self._prepare(request.min_score, request.camera)
        instruction = Instruction(request.instruction, request.request_id)
        image = request.image
        is_given = image.data or image.width or image.height
        capture = CapturedImage(image, camera, depth=self._depth.follow(camera, image.header)) if is_given else None
        timeout_s = self._values.request_timeout
        return self._scheduler.ask(instruction, timeout_s, capture=capture, selection=selection, camera=camera)

    def _follow(self, goal: Track.Goal, deliver: Callable[[InferenceResult], None]) -> ContinuousQuery:
        selection, camera = self._prepare(goal.min_score, goal.camera)
        question = ContinuousQuery(Instruction(goal.instruction), deliver, selection, camera)
        self._standing.follow(question)
        return question

    def _prepare(self, min_score: float, camera: str) -> tuple[Selection, str]:
        """The selection and the camera of a request or goal; raises ConfigError when it cannot be answered."""
        if self.state != 'active':
            raise ConfigError(f'the node is {self.state}; configure and activate it first, as ros2 lifecycle does')
        selection, names = self._values.selection, self._values.camera_names
        if camera and camera not in names:
            raise ConfigError(f"camera: expected one of {', '.join(names) or 'none'}, got '{camera}'")
        return replace(selection, min_score=min_score) if min_score != 0.0 else selection, camera or names[0]

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            change(self._values, parameters, unconfigured=self._supervisor is None)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        values = self._values = change(self._values, parameters, unconfigured=self._supervisor is None)
        self._scheduler.tune(values.tuning)
        self._answers.tune(values)
        if self._supervisor is not None:
            self._supervisor.limits = values.limits
        names = {parameter.name for parameter in parameters}
        if 'instructions' in names:
            self._standing.instruct_further(standing_instructions(values.instructions))
            self._answers.forget_all_but(self._standing.texts)
        if 'instruction' in names:
            self._instruction_topic.heard_now()
            self._on_instruction(values.instruction)

    def _on_heartbeat(self) -> None:
        for camera in self._cameras:
            camera.warn_once(self._values.image_timeout)
        supervisor = self._supervisor
        if supervisor is not None and (trouble := supervisor.check()):
            self._statistics.note_error(trouble)
            self.get_logger().error(trouble)
        if supervisor is not None and self._cameras and supervisor.is_exhausted:
            self._give_up(supervisor)
        if complaint := self._health.complain_once(self._scheduler.complaint):
            self.get_logger().warning(complaint)
        self._diagnostics.publish(self._diagnose())

    def _give_up(self, supervisor: Supervisor) -> None:
        last = self._statistics.last_error
        self._health.given_up = (
            f'deactivated after {supervisor.failures} failures of the model in a row, the last: {last}'
        )
        self.get_logger().error(f'{self._health.given_up}; activate the node to try again')
        self.trigger_deactivate()

    def _diagnose(self) -> DiagnosticArray:
        silences = (camera.complaint(self._values.image_timeout) for camera in self._cameras)
        activity = self._supervisor.activity if self._supervisor is not None else ''
        warning = activity or next(filter(None, silences), self._scheduler.complaint)
        trouble = self._supervisor.trouble if self._supervisor is not None else ''
        level, message = self._health.judge(self.state, trouble, warning, self._statistics)
        values = {
            'state': self.state,
            'instruction': '; '.join(self._standing.texts),
            'checkpoint': self._values.checkpoint,
            'images replaced': str(self._scheduler.replaced),
            'images too old': str(self._scheduler.too_old),
            'requests waiting': str(self._scheduler.waiting),
            'answers without depth': str(self._depth.missed),
            'segmenter restarts': str(self._supervisor.restarts if self._supervisor is not None else 0),
            **self._statistics.report(),
            **self._health.memory(self._supervisor.segmenter if self._supervisor is not None else None),
        }
        array = diagnostic_array(self.get_fully_qualified_name(), level, message, values)
        array.header.stamp = self.get_clock().now().to_msg()
        return array


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    prepare_threads()
    run(SegmenterNode, args)


if __name__ == '__main__':
    main()
