"""The lifecycle node `segmenter`: images and instructions in, instance masks out."""

from __future__ import annotations

import time
import traceback
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from instructsam_model import CheckpointError, ConfigError, RequestError, prepare_threads
from instructsam_ros.depth3d.estimator import DepthEstimator
from instructsam_ros.distribution import add_parameter_callbacks, make_steady_clock
from instructsam_ros.inference.active_instructions import ActiveInstructions
from instructsam_ros.inference.pipeline import LOG_PERIOD_S, Pipeline
from instructsam_ros.inference.requests import CapturedImage
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.statistics import Statistics
from instructsam_ros.inference.supervisor import Supervisor
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.node.backend_loader import Load, load_and_warm_up, load_checkpoint
from instructsam_ros.node.camera_sizes import CameraSizes
from instructsam_ros.node.client_requests import ClientRequests
from instructsam_ros.node.diagnostics import Health, make_diagnostics
from instructsam_ros.node.entrypoint import spin_node
from instructsam_ros.node.logging_bridge import forward_logs
from instructsam_ros.node.outputs import CameraOutputs
from instructsam_ros.node.parameter_declaration import change, check_overrides, declare
from instructsam_ros.node.parameters import RENAMED, NodeParameters, parse_instruction, parse_instructions
from instructsam_ros.node.segment_service import SegmentService
from instructsam_ros.node.subscriptions import ImageSubscription, InstructionTopic
from instructsam_ros.node.track_action import TrackAction


class SegmenterNode(LifecycleNode):
    """Processes instructions for the newest images, single requests, and goals.

    Configuring loads the weights, activating subscribes; deactivating keeps the weights, cleaning up frees them.

    Args:
        load: loads the segmenter.
        **kwargs: as `LifecycleNode`.

    Attributes:
        statistics: counters for /diagnostics.
        scheduler: chooses the next request.
        instructions: instructions that are processed for every image.
        instruction_topic: the subscriptions to ~/instruction.
        depth: locates instances in 3D.
        supervisor: of the worker; None while the node is unconfigured.

    Raises:
        ConfigError: a parameter is unknown or has a value that is not allowed.
    """

    def __init__(self, load: Load = load_checkpoint, **kwargs: Any) -> None:
        # Automatically, so that `check_overrides` finds overrides of parameters that do not exist.
        super().__init__('segmenter', automatically_declare_parameters_from_overrides=True, **kwargs)
        forward_logs(self.get_logger())
        self._load = load
        # First what destroy_node needs, because declaring the parameters may raise.
        self._sizes: CameraSizes | None = None
        self._track: TrackAction | None = None
        self._images: list[ImageSubscription] = []
        self._autostart: Timer | None = None
        self._health = Health()
        self.supervisor: Supervisor | None = None
        self.statistics = Statistics()
        self.instruction_topic = InstructionTopic(self, self._on_instruction)
        self.depth = DepthEstimator(self)
        self._values = self._declare_parameters()
        cameras = self._values.camera_names
        # In the order that a frame passes them: scheduler, worker (made by on_configure), pipeline.
        self.scheduler = Scheduler(cameras)
        self.instructions = ActiveInstructions(self.scheduler)
        self._pipeline = Pipeline(
            self, {name: CameraOutputs(self, name) for name in cameras}, self.depth, self.statistics
        )
        # Clients: a service and an action, which exist in every state to report errors.
        self._requests = ClientRequests(self.scheduler, self.instructions, self.depth, self._values)
        self._service = SegmentService(self, self._requests)
        self._track = TrackAction(self, self._requests)
        self._distribute_parameters()
        self.instructions.set_instruction(parse_instruction(self._values.instruction))
        self.instructions.set_additional(parse_instructions(self._values.instructions))
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 1)
        # Only now, because declaring a parameter would call these too.
        add_parameter_callbacks(self, self._check_parameters, self._apply_parameters)
        steady_clock = make_steady_clock()  # simulated time may not advance
        self._heartbeat = self.create_timer(1.0, self._on_heartbeat, clock=steady_clock)
        if self._values.autostart:
            self._autostart = self.create_timer(0.0, self._on_autostart, clock=steady_clock)

    def _declare_parameters(self) -> NodeParameters:
        defaults = NodeParameters()
        check_overrides(self, defaults, RENAMED)
        return declare(self, defaults)

    @property
    def state(self) -> str:
        """`unconfigured`, `inactive` or `active`."""
        if self.supervisor is None:
            return 'unconfigured'
        return 'active' if self._images else 'inactive'

    @property
    def parameters(self) -> NodeParameters:
        """Current values of the parameters."""
        return self._values

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights; on failure log the reason and stay unconfigured."""
        sizes = self._values.make_sizes()
        load = partial(load_and_warm_up, self._load, self._values, sizes)
        supervisor = Supervisor(load, self._pipeline, self.scheduler, sizes, self._values.limits)
        started_s = time.monotonic()
        try:
            self.depth.check()
            supervisor.start()
        except (CheckpointError, ConfigError) as error:
            self.get_logger().error(f'not configured: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f'not configured:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f'configured in {time.monotonic() - started_s:.1f} s')
        self.supervisor = supervisor
        self._sizes = CameraSizes(self, self._values.camera_names, sizes, self.scheduler)
        self._requests.state = self.state
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and the instructions."""
        result = super().on_activate(state)
        assert self.supervisor is not None
        self.supervisor.reset_failures()
        self._health.deactivated = ''
        # Subscriptions last: a result must not come before the publishers are active.
        names, transport = self._values.camera_names, self._values.image_transport
        self._images = [ImageSubscription(self, transport, partial(self._on_image, name), name) for name in names]
        self._requests.state = self.state
        self.depth.subscribe(names)
        self.instruction_topic.subscribe()
        topics = ', '.join(f"'{images.topic}'" for images in self._images)
        self.get_logger().info(f'active, subscribed to {topics}')
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and keep the weights."""
        self._unsubscribe('the node was deactivated')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the weights."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Become unconfigured after an error in a transition."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker, then destroy the node."""
        self._release()
        if self._track is not None:
            self._track.destroy()
        super().destroy_node()

    def _unsubscribe(self, reason: str) -> None:
        self.instruction_topic.unsubscribe()
        self.depth.unsubscribe()
        for images in self._images:
            images.destroy()
        self._images = []
        # Goals and requests end with this reason instead of waiting for the next activation.
        if self._track is not None:
            self._requests.state = self.state
            self._track.end_all(reason)
        if self.supervisor is not None:
            self.supervisor.cancel_all(reason)

    def _release(self) -> None:
        reason = 'the node was shut down'
        self._unsubscribe(reason)
        if self._sizes is not None:
            self._sizes.destroy()
            self._sizes = None
        if self.supervisor is not None:
            self.supervisor.stop(reason)
            self.supervisor = None
            self._requests.state = self.state

    def _on_autostart(self) -> None:
        assert self._autostart is not None
        self.destroy_timer(self._autostart)
        if self.state == 'unconfigured' and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _on_image(self, camera: str, message: Any) -> None:
        self.statistics.received += 1
        self.statistics.images.add()
        if self._sizes is not None:
            self._sizes.add_image(message)
        age_ns = self.get_clock().now().nanoseconds - read_stamp_ns(message.header.stamp)
        # Look for depth now: inference may take longer than depth images stay in the buffer.
        depth = self.depth.register(camera, message.header)
        self.scheduler.add_image(CapturedImage(message, camera, age_ns / 1e9, depth))

    def _on_instruction(self, text: str) -> None:
        try:
            instruction = parse_instruction(text)
        except RequestError as error:
            self.get_logger().warning(f'{error}; the previous one is kept', throttle_duration_sec=LOG_PERIOD_S)
            return
        if instruction != self.instructions.instruction:
            self.instructions.set_instruction(instruction)
            self.get_logger().info(f"instruction: '{text}'" if instruction is not None else 'instruction: empty, idle')

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            change(self._values, parameters, unconfigured=self.supervisor is None)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        values = self._values = change(self._values, parameters, unconfigured=self.supervisor is None)
        self._distribute_parameters()
        names = {parameter.name for parameter in parameters}
        if 'instructions' in names:
            self.instructions.set_additional(parse_instructions(values.instructions))
        if 'instruction' in names:
            # The parameter is newer than any message so far.
            self.instruction_topic.ignore_earlier()
            self._on_instruction(values.instruction)

    def _distribute_parameters(self) -> None:
        values = self._values
        self.scheduler.set_options(values.stream)
        self._pipeline.tracking = values.tracking
        self.depth.options = values.depth
        self._requests.parameters = values
        if self.supervisor is not None:
            self.supervisor.limits = values.limits

    def _on_heartbeat(self) -> None:
        # 1. Log new problems once: missing images, failures of the worker, images that arrive too old.
        for images in self._images:
            images.warn_once(self._values.image_timeout)
        supervisor = self.supervisor
        if supervisor is not None and (error := supervisor.check()):
            self.statistics.add_error(error)
            self.get_logger().error(error)
        # Only while active: deactivating twice is an invalid transition.
        if supervisor is not None and self._images and supervisor.is_exhausted:
            self._deactivate_after_failures(supervisor)
        if warning := self._health.new_warning(self.scheduler.warning):
            self.get_logger().warning(warning)
        # 2. Report the present state on /diagnostics.
        image_warnings = (images.warning(self._values.image_timeout) for images in self._images)
        self._diagnostics.publish(make_diagnostics(self, self._health, next(filter(None, image_warnings), '')))

    def _deactivate_after_failures(self, supervisor: Supervisor) -> None:
        last = self.statistics.last_error
        self._health.deactivated = (
            f'deactivated after {supervisor.failures} failures of the model in a row, the last: {last}'
        )
        self.get_logger().error(f'{self._health.deactivated}; activate the node to try again')
        self.trigger_deactivate()


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    prepare_threads()
    spin_node(SegmenterNode, args)


if __name__ == '__main__':
    main()
