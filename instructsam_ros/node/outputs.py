"""The output topics of the node: one row of `OUTPUTS` each.

The publishers, the topics in config/sros2_policy.xml, the list in README.md and the optional topics of the soak test
come from this table. `python -m instructsam_ros.node.outputs` prints the lines for the policy and for README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

from instructsam_model.draw import overlay
from instructsam_ros.messages.detections import make_detections, make_detections_3d
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.markers import make_markers
from instructsam_ros.messages.point_cloud2 import make_scene_cloud
from instructsam_ros.messages.segmentation import label_pixels, make_label_image, make_target_mask
from instructsam_ros.node.result_message import boxes_of, make_target_points, make_timed_result_message

if TYPE_CHECKING:
    from instructsam_model import Segmentation as ModelSegmentation
    from instructsam_ros.inference.requests import InferenceResult


def _overlay(result: InferenceResult, segmentation: ModelSegmentation, header: Header) -> Any:
    assert result.frame is not None
    return make_image(overlay(result.frame.image_rgb, segmentation), 'rgb8', header)


def _points(result: InferenceResult, segmentation: ModelSegmentation, header: Header) -> Any:
    assert result.frame is not None
    if result.geometry is None:
        return None
    # (H, W, 3) in the optical frame, one point per pixel; NaN without depth.
    points_m = result.geometry.camera.points_of_all(result.geometry.depth_m)
    return make_scene_cloud(points_m, result.frame.image_rgb, label_pixels(segmentation), header)


def _target_points(result: InferenceResult, segmentation: ModelSegmentation, header: Header) -> Any:
    return make_target_points(result, header)


def _target_pose(result: InferenceResult, segmentation: ModelSegmentation, header: Header) -> Any:
    # The boxes are in the order of the instances, the best first.
    box = result.geometry.boxes[0] if result.geometry is not None and result.geometry.boxes else None
    return PoseStamped(header=header, pose=box.make_pose()) if box is not None else None


Make = Callable[['InferenceResult', 'ModelSegmentation', Header], Any]
"""Makes a message of a successful result; returns None to publish nothing."""


@dataclass(frozen=True)
class Output:
    """One output topic.

    Attributes:
        name: below the node or, for a camera with a name, below `~/<camera>`.
        type_name: of the message, `package/msg/Name`; without the package there is no such topic.
        description: for README.md.
        make: makes the message; None for ~/segmentation, the one output that is published for failed requests too,
            and whether there are subscribers or not.
        depth: of the QoS history.
        needs_scene: needs depth of the whole image, even if there are no instances.
    """

    name: str
    type_name: str
    description: str
    make: Make | None
    depth: int = 1
    needs_scene: bool = False

    @property
    def is_available(self) -> bool:
        """Whether the package of the message is installed."""
        return find_spec(self.type_name.partition('/')[0]) is not None

    @property
    def message_type(self) -> type[Any]:
        """Class of the message."""
        # Imported by name, because some packages are optional, such as vision_msgs.
        package, _, name = self.type_name.split('/')
        return getattr(import_module(f'{package}.msg'), name)


# ~/segmentation is the first row: its latency does not include the messages for debugging.
OUTPUTS: tuple[Output, ...] = (
    Output('segmentation', 'instructsam_ros/msg/Segmentation', 'the whole result', None, depth=5),
    Output('labels', 'sensor_msgs/msg/Image', 'mono16: 0 background, k = instance k',
           lambda result, segmentation, header: make_label_image(segmentation, header)),
    Output('target/mask', 'sensor_msgs/msg/Image', 'mono8: the best instance, 0 or 255',
           lambda result, segmentation, header: make_target_mask(segmentation, header)),
    Output('overlay', 'sensor_msgs/msg/Image', 'rgb8: visualization for debugging', _overlay),
    Output('points', 'sensor_msgs/msg/PointCloud2', 'the scene, organized: x y z rgb label', _points,
           needs_scene=True),
    Output('target/points', 'sensor_msgs/msg/PointCloud2', 'the best instance: x y z rgb', _target_points),
    Output('target/pose', 'geometry_msgs/msg/PoseStamped', 'its oriented box: center and axes', _target_pose),
    Output('markers', 'visualization_msgs/msg/MarkerArray', 'oriented boxes and labels',
           lambda result, segmentation, header: make_markers(segmentation, boxes_of(result, segmentation), header)),
    Output('detections', 'vision_msgs/msg/Detection2DArray', '2D boxes, where vision_msgs is installed',
           lambda result, segmentation, header: make_detections(segmentation, header)),
    Output('detections_3d', 'vision_msgs/msg/Detection3DArray', '3D boxes, where vision_msgs is installed',
           lambda result, segmentation, header: make_detections_3d(
               segmentation, boxes_of(result, segmentation), header)),
)  # fmt: skip


class CameraOutputs:
    """Publishers of one camera; everything but ~/segmentation is lazy: made only if there are subscribers.

    Every header is that of the source image, bit for bit, so that subscribers can match by stamp.

    Args:
        node: publishes.
        camera: name of the camera; without a name, the topics are right below the node.
    """

    def __init__(self, node: LifecycleNode, camera: str = '') -> None:
        base = f'~/{camera}' if camera else '~'
        self._publishers: dict[Output, LifecyclePublisher[Any]] = {
            output: node.create_lifecycle_publisher(
                output.message_type,
                f'{base}/{output.name}',
                # Reliable publishers match best-effort subscribers too.
                QoSProfile(depth=output.depth, reliability=ReliabilityPolicy.RELIABLE),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for output in OUTPUTS
            if output.is_available
        }

    @property
    def needs_scene(self) -> bool:
        """Whether a topic with subscribers needs depth of the whole image."""
        return any(output.needs_scene and _has_subscribers(each) for output, each in self._publishers.items())

    def publish(self, result: InferenceResult) -> float:
        """Publish a result whose image could be decoded; return the latency of ~/segmentation in seconds."""
        assert result.capture is not None
        header, published_s = result.capture.message.header, 0.0
        for output, publisher in self._publishers.items():
            if output.make is None:
                message = make_timed_result_message(result)
                published_s = message.latency
                publisher.publish(message)
            elif result.segmentation is not None and _has_subscribers(publisher):
                message = output.make(result, result.segmentation, header)
                # There is no message if the instances have no depth.
                if message is not None:
                    publisher.publish(message)
        return published_s


def _has_subscribers(publisher: LifecyclePublisher[Any]) -> bool:
    return bool(publisher.is_activated and publisher.get_subscription_count() > 0)


def policy_lines() -> Iterator[str]:
    """Return the lines of the output topics in config/sros2_policy.xml."""
    return (f'<topic>~/{output.name}</topic>' for output in OUTPUTS)


def readme_lines() -> Iterator[str]:
    """Return the rows of the output topics in README.md."""
    for output in OUTPUTS:
        yield f'| `~/{output.name}` | `{output.type_name.replace("/msg/", "/")}` | {output.description} |'


if __name__ == '__main__':
    print('\n'.join((*policy_lines(), '', *readme_lines())))
