"""The output topics of the node: one row of `OUTPUTS` each.

The publishers, the topics in config/sros2_policy.xml, the list in README.md and the optional topics of the soak test
come from this table. `python -m instructsam_ros.node.outputs` prints the lines for the policy and for README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from instructsam_model import Segmentation as ModelSegmentation
from instructsam_ros.messages.collision_objects import make_collision_objects, make_planning_scene
from instructsam_ros.messages.detections import make_detections, make_detections_3d
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.jpeg_image import make_jpeg_image
from instructsam_ros.messages.markers import make_markers
from instructsam_ros.messages.segmentation import make_target_mask
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.output_options import OutputOptions
from instructsam_ros.node.result_content import Objects, ResultContent
from instructsam_ros.node.result_message import boxes_of, make_timed_result_message, make_withdrawal_message

if TYPE_CHECKING:
    from instructsam_ros.inference.requests import InferenceResult

OPTIONAL_PACKAGES = ('vision_msgs', 'moveit_msgs', 'gpd_ros')

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
        package, _, name = self.type_name.split('/')
        # gpd_ros has forks without messages, so look for the message as well.
        return (
            find_spec(package) is not None
            and find_spec(f'{package}.msg') is not None
            and (hasattr(import_module(f'{package}.msg'), name))
        )

    @property
    def is_optional(self) -> bool:
        """Whether the message is of a package that the node works without."""
        return self.type_name.partition('/')[0] in OPTIONAL_PACKAGES

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
    Output('target/grasp_samples', 'gpd_ros/msg/CloudSamples', 'the best instance and the scene around it, for GPD, '
           'where gpd_ros is installed', ResultContent.make_grasp_samples),
)  # fmt: skip


class CameraOutputs:
    """Publishers of one camera; everything but ~/segmentation is lazy: made only if there are subscribers.

    Every stamp is that of the source image, bit for bit, so that subscribers can match by stamp; so are the frames,
    except those of poses and points with the parameter target_frame.

    All methods but the constructor belong to the thread that publishes.

    Args:
        node: publishes.
        camera: name of the camera; without a name, the topics are right below the node.

    Attributes:
        options: may be replaced at any time.
    """

    def __init__(self, node: LifecycleNode, camera: str = '') -> None:
        base = f'~/{camera}' if camera else '~'
        self._camera = camera
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
        # By instruction: its last result, without instances, and the objects that it has now.
        self._last: dict[str, InferenceResult] = {}
        self._objects: dict[str, Objects] = {}
        # The instruction of the last message of each topic.
        self._shown: dict[Output, str] = {}
        self.options = OutputOptions()

    @property
    def needs_scene(self) -> bool:
        """Whether a topic with subscribers needs depth of the whole image."""
        return any(output.needs_scene and _has_subscribers(each) for output, each in self._publishers.items())

    def publish(self, result: InferenceResult) -> float:
        """Publish a result whose image could be decoded; return the latency of ~/segmentation in seconds."""
        message = make_timed_result_message(result)
        self._publish_segmentation(message)
        empty = _without_instances(result)
        self._last[result.instruction.text] = empty
        if result.segmentation is None:
            self._clear(empty)  # where the objects are in this image is unknown
        else:
            self._publish_content(result, result.segmentation)
        return message.latency

    def withdraw(self, instruction: str, reason: str) -> None:
        """Withdraw the results of an instruction from all topics, once; nothing if there are none."""
        empty = self._last.pop(instruction, None)
        if empty is not None:
            self._publish_segmentation(make_withdrawal_message(empty, reason))
            self._clear(empty)

    def withdraw_all(self, reason: str) -> None:
        """Withdraw the results of all instructions."""
        for instruction in tuple(self._last):
            self.withdraw(instruction, reason)

    def _publish_content(self, result: InferenceResult, segmentation: ModelSegmentation) -> None:
        instruction = segmentation.instruction.text
        content = self._content(result, segmentation)
        for output, publisher in self._publishers.items():
            if output.make is None or not _has_subscribers(publisher):
                continue
            # There is no message if the instances have no depth.
            if _publish(publisher, output.make(content)):
                self._shown[output] = instruction
        self._objects[instruction] = content.objects

    def _clear(self, empty: InferenceResult) -> None:
        """Remove the content of an instruction from the topics that show it."""
        assert empty.segmentation is not None
        instruction, content = empty.instruction.text, self._content(empty, empty.segmentation)
        for output, publisher in self._publishers.items():
            is_shown = bool(content.former) if output.is_shared else self._shown.get(output) == instruction
            make = output.clear or output.make
            if make is not None and is_shown and _has_subscribers(publisher):
                _publish(publisher, make(content))
        self._shown = {output: text for output, text in self._shown.items() if text != instruction}
        self._objects.pop(instruction, None)

    def _content(self, result: InferenceResult, segmentation: ModelSegmentation) -> ResultContent:
        instruction = segmentation.instruction.text
        others = (objects for text, objects in self._objects.items() if text != instruction)
        former = self._objects.get(instruction, ())
        return ResultContent(
            result, segmentation, self._camera, self.options, tuple(each for group in others for each in group), former
        )

    def _publish_segmentation(self, message: Segmentation) -> None:
        for output, publisher in self._publishers.items():
            if output.make is None and publisher.is_activated:
                publisher.publish(message)


def _without_instances(result: InferenceResult) -> InferenceResult:
    """Return a result of the same image that has no instances, no geometry and no error."""
    assert result.frame is not None
    height, width = result.frame.image_rgb.shape[:2]
    segmentation = ModelSegmentation((), result.instruction, '', (width, height))
    return replace(result, segmentation=segmentation, error=None, geometry=None, no_points=None, no_boxes=None)


def _has_subscribers(publisher: LifecyclePublisher[Any]) -> bool:
    return bool(publisher.is_activated and publisher.get_subscription_count() > 0)


def _publish(publisher: LifecyclePublisher[Any], made: Any) -> bool:
    """Publish a message or a list of messages; return whether there is one."""
    messages = made if isinstance(made, list) else [made] if made is not None else []
    for message in messages:
        publisher.publish(message)
    return bool(messages)


def policy_lines() -> Iterator[str]:
    """Return the lines of the output topics in config/sros2_policy.xml."""
    return (f'<topic>~/{output.name}</topic>' for output in OUTPUTS)


def readme_lines() -> Iterator[str]:
    """Return the rows of the output topics in README.md."""
    for output in OUTPUTS:
        yield f'| `~/{output.name}` | `{output.type_name.replace("/msg/", "/")}` | {output.description} |'


if __name__ == '__main__':
    print('\n'.join((*policy_lines(), '', *readme_lines())))
