"""`ResultContent`: what the messages of one successful result are made of, each part computed once and only if needed.

Notation: N points, M instances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instructsam_model.draw import overlay
from instructsam_ros.messages.grasp_samples import make_grasp_samples
from instructsam_ros.messages.located_object import UP_IN_IMAGE, LocatedObject
from instructsam_ros.messages.point_cloud2 import make_instances_cloud, make_scene_cloud
from instructsam_ros.messages.segmentation import label_pixels
from instructsam_ros.node.output_options import OutputOptions
from instructsam_ros.node.result_message import boxes_of, geometry_header, make_target_points

if TYPE_CHECKING:
    from instructsam_model import Segmentation as ModelSegmentation
    from instructsam_ros.inference.requests import InferenceResult

Objects = tuple[LocatedObject, ...]


@dataclass(frozen=True, eq=False)
class ResultContent:
    """A result as its messages need it.

    Attributes:
        result: with an image that could be decoded.
        segmentation: of the result.
        camera: name of the camera.
        options: of the messages.
        others: present objects of the other instructions of the camera.
        former: the objects of the last result of the same instruction.
    """

    result: InferenceResult
    segmentation: ModelSegmentation
    camera: str = ''
    options: OutputOptions = field(default_factory=OutputOptions)
    others: Objects = ()
    former: Objects = ()

    @property
    def header(self) -> Header:
        """The header of the image, unchanged."""
        assert self.result.capture is not None
        header: Header = self.result.capture.message.header
        return header

    @cached_property
    def geometry_header(self) -> Header:
        """Stamp of the image, frame of poses and points."""
        return geometry_header(self.result, self.header)

    @property
    def image_rgb(self) -> NDArray[np.uint8]:
        """The image, uint8 (H, W, 3)."""
        assert self.result.frame is not None
        return self.result.frame.image_rgb

    @cached_property
    def overlay_rgb(self) -> NDArray[np.uint8]:
        """The image with the instances drawn on it."""
        return overlay(self.image_rgb, self.segmentation)

    @cached_property
    def labels(self) -> NDArray[np.uint16]:
        """Label of each pixel, uint16 (H, W)."""
        return label_pixels(self.segmentation)

    @cached_property
    def objects(self) -> Objects:
        """The instances that have a 3D box."""
        geometry = self.result.geometry
        if geometry is None:
            return ()
        instances = zip(self.segmentation.instances, boxes_of(self.result, self.segmentation), strict=True)
        return tuple(
            LocatedObject(
                number,
                self._object_id(instance.id, number),
                instance.label or self.segmentation.instruction.text,
                float(instance.score),
                box,
                self.geometry_header,
                geometry.rotate(UP_IN_IMAGE),
            )
            for number, (instance, box) in enumerate(instances, start=1)
            if box is not None
        )

    def make_scene_points(self) -> PointCloud2 | None:
        """Return the scene as an organized cloud; None without depth."""
        if self.result.geometry is None:
            return None
        return make_scene_cloud(self._scene_m, self.image_rgb, self.labels, self.geometry_header)

    def make_target_points(self) -> PointCloud2:
        """Return the points of the best instance."""
        return make_target_points(self.result, self.header)

    def make_instances_points(self) -> PointCloud2:
        """Return the points of all instances, each with the number of its instance."""
        geometry = self.result.geometry
        surfaces = geometry.surfaces if geometry is not None else ()
        points_m = [np.empty((0, 3), np.float32), *(each.points_m for each in surfaces)]
        colors_rgb = [np.empty((0, 3), np.uint8), *(self.image_rgb[each.pixels] for each in surfaces)]
        numbers = np.repeat(np.arange(len(points_m), dtype=np.int32), [len(each) for each in points_m])
        in_frame_m = np.concatenate(points_m)
        if geometry is not None:
            in_frame_m = geometry.move(in_frame_m)
        return make_instances_cloud(in_frame_m, np.concatenate(colors_rgb), numbers, self.geometry_header)

    def make_target_pose(self) -> PoseStamped | None:
        """Return center and axes of the box of the best instance; None if it has none."""
        # The boxes are in the order of the instances, the best first.
        boxes = boxes_of(self.result, self.segmentation)
        if not boxes or boxes[0] is None:
            return None
        return PoseStamped(header=self.geometry_header, pose=boxes[0].make_pose())

    def make_grasp_samples(self) -> Any:
        """Return the scene around the best instance for GPD; None without its points."""
        geometry, target = self.result.geometry, self.result.target
        if geometry is None or target is None or not len(target.points_m):
            return None
        is_known = np.isfinite(geometry.depth_m)
        return make_grasp_samples(
            self._scene_m[is_known],
            self.image_rgb[is_known],
            geometry.move(target.points_m),
            geometry.camera_m,
            self.geometry_header,
        )

    def make_empty_scene(self) -> PointCloud2:
        """Return a cloud of the scene without points."""
        nothing = np.empty((1, 0, 3))
        return make_scene_cloud(
            nothing.astype(np.float32), nothing.astype(np.uint8), np.empty((1, 0), np.uint16), self.geometry_header
        )

    @cached_property
    def _scene_m(self) -> NDArray[np.float32]:
        """Points of all pixels, float32 (H, W, 3); NaN without depth."""
        geometry = self.result.geometry
        assert geometry is not None
        return geometry.move(geometry.camera.points_of_all(geometry.depth_m))

    def _object_id(self, instance_id: str, number: int) -> str:
        # Without tracking, instances have no id.
        name = instance_id or f'{self.segmentation.instruction.text} {number}'
        return f'{self.camera} {name}' if self.camera else name
