"""`DepthEstimator`: locates the instances of a result in 3D."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from instructsam_model import Segmentation
from instructsam_ros.depth3d.camera_infos import CameraInfos
from instructsam_ros.depth3d.depth_input import NOT_ARRIVED, DepthInput, DepthSearch
from instructsam_ros.depth3d.depth_log import LOG_PERIOD_S, DepthLog
from instructsam_ros.depth3d.depth_options import DepthOptions
from instructsam_ros.depth3d.depth_reader import Depth, DepthReader
from instructsam_ros.depth3d.depth_stream import DepthStream
from instructsam_ros.depth3d.depth_sync import PendingMatch
from instructsam_ros.depth3d.geometry import BoxFitter, fit_no_box, locate
from instructsam_ros.depth3d.located import Located
from instructsam_ros.depth3d.missing_depth import NoDepthError, explain_range, too_few_points
from instructsam_ros.depth3d.oriented_box import MIN_POINTS, fit_principal, fit_upright
from instructsam_ros.depth3d.transform_lookup import MissingTransformError, TransformLookup, check_tf2
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import ErrorCode


class DepthEstimator:
    """Subscribes to the depth of the cameras while the node is active, and locates instances.

    Nothing here waits: the caller asks `is_ready` until it is, and then calls `locate`.

    Args:
        node: subscribes and logs.
        camera_infos: calibrations of the cameras.

    Attributes:
        options: may be replaced at any time.
        target_frame: frame of the outputs; empty for that of the image. May be replaced while not subscribed.
        tf_timeout_s: time that a result waits for a transform, from the arrival of its image.
        listeners: called when a depth message has arrived, in the thread of the executor.
    """

    def __init__(self, node: Node, camera_infos: CameraInfos) -> None:
        self._node = node
        self._camera_infos = camera_infos
        self._inputs: Mapping[str, DepthInput] = {}
        # By camera, and whether depth comes with the image.
        self._readers: dict[tuple[str, bool], DepthReader] = {}
        self._transforms: TransformLookup | None = None
        self._log = DepthLog(node)
        self._since_s = 0.0
        self.options = DepthOptions()
        self.target_frame = ''
        self.tf_timeout_s = 0.5
        self.listeners: list[Callable[[], None]] = []

    @property
    def missed(self) -> int:
        """Number of results without depth."""
        return self._log.missed

    def check(self) -> None:
        """Check that the packages that the options need are installed.

        Raises:
            ConfigError: transforms are needed, and tf2_ros is not installed.
        """
        if self.options.enabled and self.options.box_frame:
            check_tf2('depth.box_frame')
        if self.target_frame:
            check_tf2('target_frame')

    def subscribe(self, cameras: Sequence[str]) -> None:
        """Subscribe to the depth of these cameras, if depth is enabled."""
        options = self.options
        self._log.restart()
        self._since_s = time.monotonic()
        if options.enabled:
            transport = options.image_transport
            self._inputs = {camera: DepthInput(self._node, camera, transport, self._on_arrival) for camera in cameras}
        # Requests that bring their own depth need it too.
        if (options.box_frame or self.target_frame) and find_spec('tf2_ros') is not None:
            self._transforms = TransformLookup(self._node)

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        for each in self._inputs.values():
            each.destroy()
        if self._transforms is not None:
            self._transforms.destroy()
        self._inputs, self._transforms = {}, None

    def restart(self, now_ns: int | None) -> None:
        """Start over after time has jumped back to `now_ns`; None if another clock is used from now on."""
        for each in self._inputs.values():
            each.synchronizer.restart(now_ns)
        if self._transforms is not None:
            self._transforms.restart(now_ns)

    def calibration_doubt(self, camera: str) -> str:
        """Return what cannot be known about the calibration of a camera; empty if there is no doubt."""
        reader = self._readers.get((camera, False))
        return reader.doubt if reader is not None else ''

    def silence(self, camera: str, timeout_s: float) -> str:
        """Return what has not arrived from a camera for a time, depth or its calibration; empty if both have.

        Also empty if depth is not enabled, and shortly after `subscribe`.
        """
        source, now_s = self._inputs.get(camera), time.monotonic()
        if source is None or now_s - self._since_s < timeout_s:
            return ''
        if now_s - source.synchronizer.stream.last_arrival_s > timeout_s:
            return source.describe_silence()
        if self._camera_infos.newest(camera) is None:
            return f'no camera_info has arrived on {self._camera_infos.describe(camera)}'
        return ''

    def register(self, camera: str, header: Header) -> DepthSearch | None:
        """Start to look for the depth of an image that has arrived; return None if not subscribed."""
        source = self._inputs.get(camera)
        if source is None:
            return None
        source.synchronizer.max_offset_s = self.options.max_offset_s
        match = source.synchronizer.register(read_stamp_ns(header.stamp))
        return DepthSearch(camera, header, match, transforms=self._buffer_of(header))

    def give(
        self, camera: str, header: Header, depth: Image | CompressedImage, camera_info: CameraInfo | None = None
    ) -> DepthSearch:
        """Return the search for the depth of an image that depth has come with; needs no subscription.

        Args:
            camera: name of the camera.
            header: of the image.
            depth: of the image.
            camera_info: calibration of the image; None for that of the camera.
        """
        match = PendingMatch(read_stamp_ns(header.stamp), DepthStream(), depth)
        return DepthSearch(camera, header, match, camera_info, is_given=True, transforms=self._buffer_of(header))

    @property
    def max_hold_s(self) -> float:
        """Time for which images that are not preferred are held back."""
        return self.options.max_delay_s

    def prefers(self, search: DepthSearch | None) -> bool | None:
        """Return whether to process an image now: True if it has depth, False if not, None if that is not known yet.

        True also for all images of a camera whose images all have depth, or of which none has.
        """
        match = search.match if search is not None else None
        if match is None or self.options.policy != 'with_depth' or not match.stream.is_selective:
            return True
        if match.is_hit(self.options.max_offset_s):
            return True
        return False if match.is_settled(self.options.max_delay_s) else None

    def is_ready(self, search: DepthSearch | None) -> bool:
        """Return whether nothing that `locate` lacks for an image will come in time."""
        if search is None or search.match is None:
            return True
        if not search.match.is_settled(self.options.max_delay_s):
            return False
        if search.camera_info is None and self._camera_infos.is_expected(search.camera):
            return False
        if self._transforms is None or time.monotonic() - search.arrived_s >= self.tf_timeout_s:
            return True
        for frame_id in filter(None, (self.target_frame, self.options.box_frame)):
            try:
                self._camera_pose(frame_id, search)
            except MissingTransformError as error:
                if error.may_come:
                    return False
        return True

    def locate(self, search: DepthSearch | None, segmentation: Segmentation, *, needs_scene: bool = False) -> Located:
        """Return where the instances of a result are, with what has arrived so far.

        Args:
            search: made by `register` or `give` when the image arrived.
            segmentation: of the image.
            needs_scene: read depth also if there are no instances.
        """
        if not (segmentation.instances or needs_scene):
            return Located(frame_id=self.target_frame)
        return replace(self._try_to_locate(search, segmentation), frame_id=self.target_frame)

    def _try_to_locate(self, search: DepthSearch | None, segmentation: Segmentation) -> Located:
        options = self.options
        try:
            depth = self._read(search, segmentation.size_wh, options)
            located = self._locate(depth, search, segmentation, options)
        except NoDepthError as error:
            located = Located(None, error, error)
        except Exception as error:
            if self._node.context.ok():  # logging fails at shutdown, because the context ends before the thread
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)
            broken = NoDepthError('exception', f'{type(error).__name__}: {error}')
            located = Located(None, broken, broken)
        if not segmentation.instances:
            return Located(located.geometry)
        for missing in dict.fromkeys((located.no_points, located.no_boxes)):
            if missing is not None:
                camera = search.camera if search is not None else ''
                self._log.add(missing, camera, has_points=located.no_points is None)
        return located

    def _buffer_of(self, header: Header) -> Any:
        return self._transforms.buffer_of(header) if self._transforms is not None else None

    def _on_arrival(self) -> None:
        for listener in self.listeners:
            listener()

    def _read(self, search: DepthSearch | None, size_wh: tuple[int, int], options: DepthOptions) -> Depth:
        if search is None or search.match is None:
            said = 'depth.enabled is false, and no depth image came with the request'
            raise NoDepthError('disabled', said, ErrorCode.DEPTH_DISABLED)
        source = self._inputs.get(search.camera)
        if search.is_given:
            message, lacking = search.match.message, 'no camera_info came with the depth image of the request, and '
        elif source is None:
            raise NoDepthError('inactive', 'the node is not active any more', ErrorCode.NO_DEPTH)
        else:
            message, lacking = source.find(search.match, options), ''
        info = search.camera_info or self._camera_infos.newest(search.camera)
        if info is None:
            said = f'{lacking}no camera_info has arrived on {self._camera_infos.describe(search.camera)}'
            raise NoDepthError(NOT_ARRIVED[1], said, ErrorCode.NO_CAMERA_INFO)
        key = search.camera, search.is_given
        if key not in self._readers:
            self._readers[key] = DepthReader(self._node, search.camera, is_given=search.is_given)
        return self._readers[key].read(message, info, search.header, size_wh, options)

    def _locate(
        self, depth: Depth, search: DepthSearch | None, segmentation: Segmentation, options: DepthOptions
    ) -> Located:
        assert search is not None
        # Nothing in 3D rather than geometry in another frame than expected.
        try:
            camera_pose = self._camera_pose(self.target_frame, search) if self.target_frame else None
        except MissingTransformError as error:
            said = f'{error}; target_frame needs it'
            raise NoDepthError('transform', said, ErrorCode.NO_TRANSFORM) from error
        fit, no_boxes = self._choose_fitter(depth, search, options)
        geometry = replace(locate(segmentation, depth.depth_m, depth.camera, fit), camera_pose=camera_pose)
        no_points = None
        if not any(surface.points_m.size for surface in geometry.surfaces):
            no_points = no_boxes = explain_range(depth.median_m, depth.encoding, options.range_m)
        elif no_boxes is None and not any(geometry.boxes):
            no_boxes = too_few_points(MIN_POINTS)
        return Located(geometry, no_points, no_boxes)

    def _choose_fitter(
        self, depth: Depth, search: DepthSearch, options: DepthOptions
    ) -> tuple[BoxFitter, NoDepthError | None]:
        """Return the function that fits boxes, and why it cannot."""
        if options.box_plane:
            if depth.plane is not None:
                return partial(fit_upright, pose=depth.plane), None
            said = (
                'no plane in the depth image, which depth.box_plane needs; point the camera at more of the table or '
                'floor, extend the range depth.min to depth.max, or set depth.box_frame'
            )
            return fit_no_box, NoDepthError('plane', said, ErrorCode.NO_PLANE)
        if not options.box_frame:
            return fit_principal, None
        try:
            pose = self._camera_pose(options.box_frame, search)
        except MissingTransformError as error:
            return fit_no_box, NoDepthError('transform', str(error), ErrorCode.NO_TRANSFORM)
        return partial(fit_upright, pose=pose), None

    def _camera_pose(self, frame_id: str, search: DepthSearch) -> Matrix:
        """Return the pose (4, 4) of the camera in a frame.

        Raises:
            MissingTransformError: there is no transform.
        """
        if frame_id == search.header.frame_id:  # also if /tf does not know it
            return np.eye(4)
        if self._transforms is None or search.transforms is None:
            raise MissingTransformError(f"'{frame_id}' needs tf2_ros, and an active node", may_come=False)
        return self._transforms.pose(frame_id, search.header, search.transforms, self.tf_timeout_s)
