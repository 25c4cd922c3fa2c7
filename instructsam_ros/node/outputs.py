"""The output topics of the node: one row of `OUTPUTS` each.

The publishers, the topics in config/sros2_policy.xml, the list in README.md and the optional topics of the soak test
come from this table. `python -m instructsam_ros.node.outputs` prints the lines for the policy and for README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from instructsam_ros.messages.collision_objects import make_collision_objects, make_planning_scene
from instructsam_ros.messages.detections import make_detections, make_detections_3d
from instructsam_ros.messages.grasp_samples import CLOUD_SAMPLES
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.jpeg_image import make_jpeg_image
from instructsam_ros.messages.markers import make_markers
from instructsam_ros.messages.optional_message import has_message, load_message_type
from instructsam_ros.messages.segmentation import make_target_mask
from instructsam_ros.node.result_content import ResultContent
from instructsam_ros.node.result_message import boxes_of

OPTIONAL_PACKAGES = ('vision_msgs', 'moveit_msgs', 'gpd_ros', 'gpd_ros2_msgs')

Make = Callable[[ResultContent], Any]
"""Makes a message of a successful result, or a list of messages; returns None to publish nothing."""


@dataclass(frozen=True)
class Output:
    """One output topic.

    Attributes:
        name: below the node or, for a camera with a name, below `~/<camera>`.
        type_name: of the message, `package/msg/Name`; without the package there is no such topic.
        description: for README.md.
        make: makes the message; None for ~/segmentation, the one output that is published for failed requests too,
            and whether there are subscribers or not.
        clear: makes the message that withdraws the content of the topic, of a result without its instances; None if
            `make` does.
        depth: of the QoS history.
        needs_scene: needs depth of the whole image, even if there are no instances.
        is_shared: shows the objects of all instructions, not only those of the latest result.
    """

    name: str
    type_name: str
    description: str
    make: Make | None
    clear: Make | None = None
    depth: int = 1
    needs_scene: bool = False
    is_shared: bool = False

    @property
    def is_available(self) -> bool:
        """Whether the package of the message is installed and has this message."""
        return has_message(self.type_name)

    @property
    def is_optional(self) -> bool:
        """Whether the message is of a package that the node works without."""
        return self.type_name.partition('/')[0] in OPTIONAL_PACKAGES

    @property
    def message_type(self) -> type[Any]:
        """Class of the message."""
        return load_message_type(self.type_name)


# ~/segmentation is the first row: its latency does not include the messages for debugging.
OUTPUTS: tuple[Output, ...] = (
    Output('segmentation', 'instructsam_ros/msg/Segmentation', 'the whole result', None, depth=5),
    Output('labels', 'sensor_msgs/msg/Image', 'mono16: 0 background, k = instance k',
           lambda content: make_image(content.labels, 'mono16', content.header)),
    Output('target/mask', 'sensor_msgs/msg/Image', 'mono8: the best instance, 0 or 255',
           lambda content: make_target_mask(content.segmentation, content.header)),
    Output('overlay', 'sensor_msgs/msg/Image', 'rgb8: visualization for debugging',
           lambda content: make_image(content.overlay_rgb, 'rgb8', content.header),
           lambda content: make_image(content.image_rgb, 'rgb8', content.header)),
    Output('overlay/compressed', 'sensor_msgs/msg/CompressedImage', 'the same as JPEG of quality `overlay_quality`',
           lambda content: make_jpeg_image(content.overlay_rgb, content.options.overlay_quality, content.header),
           lambda content: make_jpeg_image(content.image_rgb, content.options.overlay_quality, content.header)),
    Output('points', 'sensor_msgs/msg/PointCloud2', 'the scene, organized: x y z rgb label',
           ResultContent.make_scene_points, ResultContent.make_empty_scene, needs_scene=True),
    Output('instances/points', 'sensor_msgs/msg/PointCloud2', 'all instances: x y z rgb instance',
           ResultContent.make_instances_points),
    Output('target/points', 'sensor_msgs/msg/PointCloud2', 'the best instance: x y z rgb',
           ResultContent.make_target_points),
    Output('target/pose', 'geometry_msgs/msg/PoseStamped', 'its oriented box: center and axes',
           ResultContent.make_target_pose),
    Output('markers', 'visualization_msgs/msg/MarkerArray', 'oriented boxes and labels',
           lambda content: make_markers(content.objects, content.others, content.geometry_header), is_shared=True),
    Output('detections', 'vision_msgs/msg/Detection2DArray', '2D boxes, where vision_msgs is installed',
           lambda content: make_detections(content.segmentation, content.header)),
    Output('detections_3d', 'vision_msgs/msg/Detection3DArray', '3D boxes, where vision_msgs is installed',
           lambda content: make_detections_3d(
               content.segmentation, boxes_of(content.result, content.segmentation), content.geometry_header)),
    Output('planning_scene', 'moveit_msgs/msg/PlanningScene', '3D boxes as changes of the planning scene, where '
           'moveit_msgs is installed',
           lambda content: make_planning_scene(content.objects, content.former), depth=10, is_shared=True),
    Output('collision_object', 'moveit_msgs/msg/CollisionObject', 'the same, one message for each object',
           lambda content: make_collision_objects(content.objects, content.former), depth=100, is_shared=True),
    Output('target/grasp_samples', CLOUD_SAMPLES, 'the best instance and the scene around it, for GPD, '
           'where gpd_ros is installed', ResultContent.make_grasp_samples),
)  # fmt: skip


def policy_lines() -> Iterator[str]:
    """Return the lines of the output topics in config/sros2_policy.xml."""
    return (f'<topic>~/{output.name}</topic>' for output in OUTPUTS)


def readme_lines() -> Iterator[str]:
    """Return the rows of the output topics in README.md."""
    for output in OUTPUTS:
        yield f'| `~/{output.name}` | `{output.type_name.replace("/msg/", "/")}` | {output.description} |'


if __name__ == '__main__':
    print('\n'.join((*policy_lines(), '', *readme_lines())))
