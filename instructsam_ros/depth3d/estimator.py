"""`DepthEstimator`: adds to an answer where its instances are in 3D."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rclpy.node import Node
from std_msgs.msg import Header

from instructsam_ros.depth3d.camera_pose import CameraPoseLookup, UnknownPoseError, check_tf2
from instructsam_ros.depth3d.depth_input import NOT_ARRIVED, DepthInput, DepthOptions, NoDepthError
from instructsam_ros.depth3d.depth_sync import Match
from instructsam_ros.depth3d.measurement import Fit, measure, no_box
from instructsam_ros.depth3d.oriented_box import fit_principal, fit_upright
from instructsam_ros.inference.requests import InferenceResult
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.stamp import read_stamp_ns

LOG_PERIOD_S = 5.0
PATIENCE_S = 2.0
"""Of what has not arrived at all nothing is said before; discovery takes a while."""


class DepthEstimator:
    """Listens to the depth of the cameras while the node is active, and measures in the worker's thread.

    Args:
        node: that listens.
        options: those of now.
        is_wanted: whether somebody wants depth of a camera even where there is no instance.

    Attributes:
        missed: how many answers had to do without depth.
    """

    def __init__(self, node: Node, options: Callable[[], DepthOptions], is_wanted: Callable[[str], bool]) -> None:
        self._node = node
        self._options = options
        self._is_wanted = is_wanted
        self._inputs: Mapping[str, DepthInput] = {}
        self._box_frame: CameraPoseLookup | None = None
        self._warned: set[tuple[str, str]] = set()
        self._since_s = 0.0
        self.missed = 0

    def check(self) -> None:
        """Make sure that the options can be met here.

        Raises:
            ConfigError: boxes shall stand upright, and tf2_ros is not installed.
        """
        if self._options().enabled and self._options().box_frame:
            check_tf2()

    def subscribe(self, cameras: Sequence[str]) -> None:
        """Start listening to these cameras, if depth is enabled."""
        options = self._options()
        self._warned.clear()
        self._since_s = time.monotonic()
        if options.enabled:
            self._inputs = {camera: DepthInput(self._node, camera) for camera in cameras}
            self._box_frame = CameraPoseLookup(self._node, options.box_frame) if options.box_frame else None

    def unsubscribe(self) -> None:
        """Stop listening."""
        for each in self._inputs.values():
            each.destroy()
        if self._box_frame is not None:
            self._box_frame.destroy()
        self._inputs, self._box_frame = {}, None

    def follow(self, camera: str, header: Header) -> Match | None:
        """Begin to look for the depth of an image; None while not listening."""
        source = self._inputs.get(camera)
        return source.follow(read_stamp_ns(header.stamp)) if source is not None else None

    def complete(self, answer: InferenceResult) -> InferenceResult:
        """Add the measurement to an answer, if there is one; runs in the worker's thread and raises nothing."""
        capture, segmentation = answer.capture, answer.segmentation
        if capture is None or capture.depth is None or segmentation is None:
            return answer
        source = self._inputs.get(capture.camera)
        if source is None or not (segmentation.instances or self._is_wanted(capture.camera)):
            return answer
        header = capture.message.header
        try:
            options = self._options()
            depth = source.read(capture.depth, header, segmentation.size_wh, options)
            fit = self._fit_on(depth.plane) if options.box_plane else self._fit(header)
            return replace(answer, measurement=measure(segmentation, depth.depth_m, depth.intrinsics, fit))
        except NoDepthError as error:
            self._miss(error, capture.camera)
        except Exception:
            self.missed += 1
            if self._node.context.ok():  # at shutdown the middleware goes before the thread does
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)
        return answer

    def _fit(self, header: Header) -> Fit:
        box_frame = self._box_frame
        if box_frame is None:
            return fit_principal
        try:
            return partial(fit_upright, pose=box_frame.camera_pose(header))
        except UnknownPoseError as error:
            self._node.get_logger().warning(f'no 3D boxes: {error}', throttle_duration_sec=LOG_PERIOD_S)
            return no_box

    def _fit_on(self, plane: Matrix | None) -> Fit:
        if plane is not None:
            return partial(fit_upright, pose=plane)
        self._node.get_logger().warning(
            'no 3D boxes: depth shows no plane, which depth.box_plane needs; let the camera see more of the table or '
            'floor, widen depth.min to depth.max, or name a depth.box_frame',
            throttle_duration_sec=LOG_PERIOD_S,
        )
        return no_box

    def _miss(self, error: NoDepthError, camera: str) -> None:
        self.missed += 1
        is_early = error.kind in NOT_ARRIVED and time.monotonic() - self._since_s < PATIENCE_S
        if (camera, error.kind) not in self._warned and not is_early:
            self._warned.add((camera, error.kind))
            whose = f' of {camera}' if camera else ''
            self._node.get_logger().warning(f'no 3D{whose}: {error}')
