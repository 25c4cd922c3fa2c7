"""The lifecycle node `segmenter`: images and instructions in, instance masks out."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from instructsam_model import RequestError, prepare_threads
from instructsam_ros.depth3d.camera_infos import CameraInfos
from instructsam_ros.depth3d.estimator import DepthEstimator
from instructsam_ros.inference.active_instructions import ActiveInstructions
from instructsam_ros.inference.pipeline import LOG_PERIOD_S, Pipeline
from instructsam_ros.inference.requests import CapturedImage
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.statistics import Statistics
from instructsam_ros.inference.supervisor import Supervisor
from instructsam_ros.messages.color import SensorBits
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.node.async_lifecycle import AsyncLifecycleNode
from instructsam_ros.node.backend_loader import Load, load_checkpoint
from instructsam_ros.node.camera_outputs import CameraOutputs
from instructsam_ros.node.camera_sizes import CameraSizes
from instructsam_ros.node.client_requests import ClientRequests
from instructsam_ros.node.clock_jumps import ClockJumps
from instructsam_ros.node.entrypoint import run_node
from instructsam_ros.node.heartbeat import Heartbeat
from instructsam_ros.node.live_parameters import LiveParameters
from instructsam_ros.node.logging_bridge import forward_logs
from instructsam_ros.node.manager_bond import ManagerBond
from instructsam_ros.node.model_holder import ModelHolder
from instructsam_ros.node.parameters import NodeParameters, parse_instruction, parse_instructions
from instructsam_ros.node.segment_service import SegmentService
from instructsam_ros.node.subscriptions import ImageSubscription, InstructionTopic
from instructsam_ros.node.track_action import TrackAction


class SegmenterNode(AsyncLifecycleNode):
    """Processes instructions for the newest images, single requests, and goals.

    Configuring loads the weights, in the thread of the worker; activating subscribes; deactivating keeps the weights,
    cleaning up frees them.

    Args:
        load: loads the segmenter.
        **kwargs: as `AsyncLifecycleNode`.

    Attributes:
        statistics: counters for /diagnostics.
        scheduler: chooses the next request.
        instructions: instructions that are processed for every image.
        instruction_topic: the subscriptions to ~/instruction.
        pipeline: publishes and withdraws results.
        depth: locates instances in 3D.
        images: the subscriptions to the cameras; empty unless the node is active.
        model: the model, loaded or not.

    Raises:
        ConfigError: a parameter is unknown or has a value that is not allowed.
    """

    def __init__(self, load: Load = load_checkpoint, **kwargs: Any) -> None:
        super().__init__('segmenter', **kwargs)
        forward_logs(self.get_logger())
        # First what destroy_node needs, because declaring the parameters may raise.
        self._sizes: CameraSizes | None = None
        self._track: TrackAction | None = None
        self.images: list[ImageSubscription] = []
        self._bond = ManagerBond(self)
        self.statistics = Statistics()
        self.instruction_topic = InstructionTopic(self, self._on_instruction)
        self._camera_infos = CameraInfos(self)
        self.depth = DepthEstimator(self, self._camera_infos)
        self._live = LiveParameters(self, kwargs)
        cameras = self.parameters.camera_names
        self._sensors = {name: SensorBits() for name in cameras}
        # In the order that a frame passes them: scheduler, worker (made by on_configure), pipeline.
        self.scheduler = Scheduler(cameras, self.depth)
        self.depth.listeners.append(self.scheduler.wake)
        self.instructions = ActiveInstructions(self.scheduler, self._withdraw)
        self._outputs = {name: CameraOutputs(self, name) for name in cameras}
        self.pipeline = Pipeline(self, self._outputs, self.depth, self.statistics)
        self._clock_jumps = ClockJumps(self, self._restart)
        self.model = ModelHolder(self, load, self.depth.check, self.pipeline, self.scheduler)
        # Clients: a service and an action, which exist in every state to report errors.
        self._requests = ClientRequests(self.scheduler, self.instructions, self.depth, self.parameters)
        self._service = SegmentService(self, self._requests, self.statistics)
        self._track = TrackAction(self, self._requests)
        self._distribute_parameters()
        self.instructions.set_instruction(parse_instruction(self.parameters.instruction))
        self.instructions.set_additional(parse_instructions(self.parameters.instructions))
        self._heartbeat = Heartbeat(self)
        self._live.start(lambda: self.state == 'unconfigured', self._apply_parameters)
        if self.parameters.autostart:
            self.start_automatically()

    @property
    def state(self) -> str:
        """`unconfigured`, `configuring`, `inactive` or `active`."""
        if self.supervisor is not None:
            return 'active' if self.images else 'inactive'
        return 'configuring' if self.is_configuring else 'unconfigured'

    @property
    def supervisor(self) -> Supervisor | None:
        """The supervisor of the worker; None before the model is loaded."""
        return self.model.supervisor

    @property
    def parameters(self) -> NodeParameters:
        """Current values of the parameters."""
        return self._live.values

    def prepare(self) -> Future[None]:
        """Start to load the weights, in the thread of the worker."""
        self._requests.state = 'configuring'
        return self.model.start_loading(self.parameters)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Wait until the weights are loaded; on failure stay unconfigured."""
        if self.model.loading is None:  # `trigger_configure` does not prepare
            self.prepare()
        supervisor = self.model.finish_loading()
        self._requests.state = self.state
        if supervisor is None:
            return TransitionCallbackReturn.FAILURE
        self.pipeline.checkpoint = self.model.checkpoint
        self._sizes = CameraSizes(supervisor.sizes, self.scheduler)
        self._camera_infos.subscribe(self.parameters.camera_names, self._sizes.add_camera_info)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and the instructions."""
        result = super().on_activate(state)
        assert self.supervisor is not None
        self.supervisor.reset_failures()
        self.statistics.restart()
        self._heartbeat.restart()
        self.pipeline.open()
        # Subscriptions last: a result must not come before the publishers are active.
        names, transport = self.parameters.camera_names, self.parameters.image_transport
        self.depth.subscribe(names)  # before the images that need it
        self.images = [ImageSubscription(self, transport, partial(self._on_image, name), name) for name in names]
        self._requests.state = self.state
        self.instruction_topic.subscribe()
        topics = ', '.join(f"'{images.topic}'" for images in self.images)
        self._bond.start(self.parameters.bond_heartbeat_period)
        self.get_logger().info(f'active, subscribed to {topics}')
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and keep the weights."""
        self._unsubscribe(self._heartbeat.deactivated or 'the node was deactivated')
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
        if self._track is not None:  # else the constructor has raised, or the node is destroyed already
            self._release()
            self._track.destroy()
            self._track = None
            self._clock_jumps.destroy()
        super().destroy_node()

    def _unsubscribe(self, reason: str) -> None:
        self._bond.stop()
        self.instruction_topic.unsubscribe()
        self.depth.unsubscribe()
        for images in self.images:
            images.destroy()
        self.images = []
        # Goals and requests end with this reason instead of waiting for the next activation.
        self._requests.state = self.state
        if self._track is not None:
            self._track.end_all(reason)
        if self.supervisor is not None:
            self.supervisor.cancel_all(reason)
        # Before the publishers become inactive, and after all that could publish a result.
        self.pipeline.close(reason)

    def _release(self) -> None:
        reason = 'the node was shut down'
        self._unsubscribe(reason)
        self._camera_infos.unsubscribe()
        self._sizes = None
        self.model.release(reason)
        self._requests.state = self.state

    def _on_image(self, camera: str, message: Any) -> None:
        self.statistics.received += 1
        self.statistics.images.add()
        if self._sizes is not None:
            self._sizes.add_image(message)
        stamp_ns = read_stamp_ns(message.header.stamp)
        timeline = self._clock_jumps.timeline
        lap, age_s = timeline.add_image(camera, stamp_ns), timeline.age_s(self.get_clock().now().nanoseconds, stamp_ns)
        # Look for depth now: inference may take longer than depth images stay in the buffer.
        depth = self.depth.register(camera, message.header)
        capture = CapturedImage(message, camera, age_s, depth, sensor=self._sensors[camera], lap=lap)
        self.scheduler.add_image(capture)

    def _restart(self, now_ns: int | None) -> None:
        """Start over after time has jumped back: forget what lies in the future, and wait for nothing of the past."""
        self.depth.restart(now_ns)
        self.pipeline.restart(now_ns)

    def _on_instruction(self, text: str) -> None:
        try:
            instruction = parse_instruction(text)
        except RequestError as error:
            self.get_logger().warning(f'{error}; the previous one is kept', throttle_duration_sec=LOG_PERIOD_S)
            return
        if instruction != self.instructions.instruction:
            self.instructions.set_instruction(instruction)
            self.get_logger().info(f"instruction: '{text}'" if instruction is not None else 'instruction: empty, idle')

    def _withdraw(self, instruction: str, reason: str) -> None:
        self.pipeline.withdraw(instruction, reason)

    def _apply_parameters(self, names: set[str]) -> None:
        self._distribute_parameters()
        if 'instructions' in names:
            self.instructions.set_additional(parse_instructions(self.parameters.instructions))
        if 'instruction' in names:
            # The parameter is newer than any message so far.
            self.instruction_topic.ignore_earlier()
            self._on_instruction(self.parameters.instruction)

    def _distribute_parameters(self) -> None:
        values = self.parameters
        self.scheduler.set_options(values.stream)
        self.pipeline.tracking = values.tracking
        self.depth.options = values.depth
        self.depth.tf_timeout_s, self.depth.target_frame = values.tf_timeout, values.target_frame
        for outputs in self._outputs.values():
            outputs.options = values.outputs
        self._requests.parameters = values
        self.model.set_limits(values.limits)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    prepare_threads()
    run_node(SegmenterNode, args)


if __name__ == '__main__':
    main()
