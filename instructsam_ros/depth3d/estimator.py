"""`DepthEstimator`: locates the instances of a result in 3D."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from functools import partial

from rclpy.node import Node
from std_msgs.msg import Header

from instructsam_model import Segmentation
from instructsam_ros.depth3d.depth_input import NOT_ARRIVED, DepthInput, DepthOptions, NoDepthError
from instructsam_ros.depth3d.depth_sync import PendingMatch
from instructsam_ros.depth3d.geometry import BoxFitter, Geometry3D, fit_no_box, locate
from instructsam_ros.depth3d.oriented_box import fit_principal, fit_upright
from instructsam_ros.depth3d.upright import CameraPoseLookup, UnknownPoseError, check_tf2
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.stamp import read_stamp_ns

LOG_PERIOD_S = 5.0
DISCOVERY_TIMEOUT_S = 2.0
"""Missing messages are not reported before this time, because discovery takes a while."""


class DepthEstimator:
    """Subscribes to the depth of the cameras while the node is active, and locates instances.

    Args:
        node: subscribes and logs.

    Attributes:
        options: may be replaced at any time.
        missed: number of results without depth.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._inputs: Mapping[str, DepthInput] = {}
        self._pose_lookup: CameraPoseLookup | None = None
        self._warned: set[tuple[str, str]] = set()
        self._since_s = 0.0
        self.options = DepthOptions()
        self.missed = 0

    def check(self) -> None:
        """Check that the packages that the options need are installed.

        Raises:
            ConfigError: boxes are upright in a frame, and tf2_ros is not installed.
        """
        if self.options.enabled and self.options.box_frame:
            check_tf2()

    def subscribe(self, cameras: Sequence[str]) -> None:
        """Subscribe to depth and calibration of these cameras, if depth is enabled."""
        options = self.options
        self._warned.clear()
        self._since_s = time.monotonic()
        if options.enabled:
            self._inputs = {camera: DepthInput(self._node, camera) for camera in cameras}
            self._pose_lookup = CameraPoseLookup(self._node, options.box_frame) if options.box_frame else None

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        for each in self._inputs.values():
            each.destroy()
        if self._pose_lookup is not None:
            self._pose_lookup.destroy()
        self._inputs, self._pose_lookup = {}, None

    def register(self, camera: str, header: Header) -> PendingMatch | None:
        """Start to look for the depth of an image that has arrived; return None if not subscribed."""
        source = self._inputs.get(camera)
        return source.synchronizer.register(read_stamp_ns(header.stamp)) if source is not None else None

    def locate(
        self,
        camera: str,
        header: Header,
        match: PendingMatch | None,
        segmentation: Segmentation,
        *,
        needs_scene: bool = False,
    ) -> Geometry3D | None:
        """Return where the instances of a result are; None if there is no depth. Called in the worker's thread.

        Args:
            camera: name of the camera.
            header: of the image.
            match: made by `register` when the image arrived.
            segmentation: of the image.
            needs_scene: read depth also if there are no instances.
        """
        source = self._inputs.get(camera)
        if source is None or match is None or not (segmentation.instances or needs_scene):
            return None
        options = self.options
        try:
            depth = source.read(match, header, segmentation.size_wh, options)
            fit = self._fitter_on_plane(depth.plane) if options.box_plane else self._fitter(header)
            return locate(segmentation, depth.depth_m, depth.camera, fit)
        except NoDepthError as error:
            self._count_missed(error, camera)
        except Exception:
            self.missed += 1
            if self._node.context.ok():  # logging fails at shutdown, because the context ends before the thread
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)
        return None

    def _fitter(self, header: Header) -> BoxFitter:
        lookup = self._pose_lookup
        if lookup is None:
            return fit_principal
        try:
            return partial(fit_upright, pose=lookup.camera_pose(header))
        except UnknownPoseError as error:
            self._node.get_logger().warning(f'no 3D boxes: {error}', throttle_duration_sec=LOG_PERIOD_S)
            return fit_no_box

    def _fitter_on_plane(self, plane: Matrix | None) -> BoxFitter:
        if plane is not None:
            return partial(fit_upright, pose=plane)
        self._node.get_logger().warning(
            'no 3D boxes: no plane in the depth image, which depth.box_plane needs; point the camera at more of the '
            'table or floor, extend the range depth.min to depth.max, or set depth.box_frame',
            throttle_duration_sec=LOG_PERIOD_S,
        )
        return fit_no_box

    def _count_missed(self, error: NoDepthError, camera: str) -> None:
        self.missed += 1
        is_early = error.kind in NOT_ARRIVED and time.monotonic() - self._since_s < DISCOVERY_TIMEOUT_S
        if (camera, error.kind) not in self._warned and not is_early:
            self._warned.add((camera, error.kind))
            suffix = f' of {camera}' if camera else ''
            self._node.get_logger().warning(f'no 3D{suffix}: {error}')
