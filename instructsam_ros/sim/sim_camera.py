"""A simulated RGB-D camera above a table, which also publishes the ground truth of its images.

ros2 run instructsam_ros sim_camera --ros-args -p seed:=7 -p rate_hz:=10.0
ros2 param set /sim_camera seed 9
"""

from __future__ import annotations

import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import ColorRGBA, Header, String
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_model import ConfigError
from instructsam_ros.distribution import add_parameter_callbacks
from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import UNITS_M, make_depth
from instructsam_ros.messages.geometry import Matrix, make_transform
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.markers import make_box_marker
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.node.entrypoint import run_node
from instructsam_ros.node.parameter_declaration import change, check_change, declare
from instructsam_ros.options import ParameterGroup, parameter
from instructsam_ros.sim.scene_instruction import choose_instruction
from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.scene.ground_truth import SceneView
from instructsam_training.tabletop.scene.sampling import sample_scene

if TYPE_CHECKING:
    from instructsam_training.tabletop.render.render import Renderer
    from instructsam_training.tabletop.scene.scene import Scene

LOG_PERIOD_S = 5.0


@dataclass(frozen=True)
class CameraParameters(ParameterGroup):
    """Parameters of the node; descriptions are in the metadata of the fields.

    Raises:
        ConfigError: a value is invalid.
    """

    seed: int = parameter(
        1, 'Seed of the scene; setting it, also to the same value, restarts the scene. Odd seeds are reserved for '
        'tests.', range_=(0, 2**62),
    )  # fmt: skip
    rate_hz: float = parameter(10.0, 'Hz; images per second.', range_=(0.1, 100.0), mutable='never')
    width: int = parameter(320, 'Width of the images in pixels.', range_=(32, 3840), mutable='never')
    height: int = parameter(240, 'Height of the images in pixels.', range_=(32, 2160), mutable='never')
    moving: bool = parameter(True, 'The camera swings back and forth, and one object slides.', mutable='never')
    depth_encoding: str = parameter(
        '32FC1', 'Encoding of the depth images: meters (32FC1) or millimeters (16UC1).', choices=tuple(UNITS_M)
    )
    frame_id: str = parameter('camera_optical_frame', 'Frame id of the images.', mutable='never')
    table_frame_id: str = parameter('table', 'Frame id of the center of the table top, z up.', mutable='never')


@dataclass(frozen=True)
class RenderRequest:
    """An image to render.

    Attributes:
        seed: of the scene.
        time_s: time since the start of the scene.
        header: of all messages of this image.
        depth_encoding: a key of `UNITS_M`.
    """

    seed: int
    time_s: float
    header: Header
    depth_encoding: str


class Outputs:
    """Publishers of the camera; all messages of one image have the same header.

    The pose of a moving camera is published on /tf with each image, that of a fixed one on /tf_static once per scene;
    neither is published where tf2_msgs is not installed, as it is not on PyPI.
    """

    def __init__(self, node: Node, values: CameraParameters) -> None:
        self._table_frame_id = values.table_frame_id
        self._is_static = not values.moving
        self._pose = np.zeros((4, 4))
        self._image = _publisher(node, Image, 'image')
        self._depth = _publisher(node, Image, 'depth/image')
        self._camera_info = _publisher(node, CameraInfo, 'camera_info')
        self._labels = _publisher(node, Image, '~/ground_truth/labels')
        # Latched, as a scene has one.
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = node.create_publisher(String, '~/ground_truth/instruction', latched)
        self._instructed_seed = -1
        self._boxes = _publisher(node, MarkerArray, '~/ground_truth/boxes')
        self._transform = _transform_publisher(node, moving=values.moving)

    def publish(self, view: SceneView, scene: Scene, request: RenderRequest) -> None:
        """Publish all messages of one view of a scene."""
        header = request.header
        height, width = view.labels.shape
        self._publish_transform(view.camera_pose, header)
        if request.seed != self._instructed_seed:
            self._instructed_seed = request.seed
            self._instruction.publish(String(data=choose_instruction(view, request.seed)))
        self._camera_info.publish(make_camera_info(view.intrinsics, (width, height), header))
        self._image.publish(make_image(view.image_rgb, 'rgb8', header))
        self._depth.publish(make_depth(view.depth_m, request.depth_encoding, header))
        self._labels.publish(make_image(view.labels, 'mono16', header))
        self._boxes.publish(make_box_markers(view, scene, header))

    def _publish_transform(self, pose: Matrix, header: Header) -> None:
        # A static transform changes only with the scene.
        if self._transform is None or (self._is_static and np.array_equal(pose, self._pose)):
            return
        from tf2_msgs.msg import TFMessage

        self._pose = pose
        parent = Header(stamp=header.stamp, frame_id=self._table_frame_id)
        self._transform.publish(TFMessage(transforms=[make_transform(pose, parent, header.frame_id)]))


class SimCamera(Node):
    """Renders an image at each tick of a timer in a thread of its own; skips ticks while that thread is busy.

    The image of tick n of a scene is always the same, however many ticks were skipped.

    Raises:
        ConfigError: a parameter has an invalid value, or this machine cannot render.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('sim_camera', **kwargs)
        # One thread, because an OpenGL context belongs to the thread that made it.
        self._render_thread = ThreadPoolExecutor(1, 'renderer')
        self._renderer: Renderer | None = None
        self._rendering: Future[None] | None = None
        self._ticks = 0
        # The rest can raise ConfigError; destroy_node then needs the attributes above.
        self._values = declare(self, CameraParameters(), kwargs)
        self._outputs = Outputs(self, self._values)
        size_wh = self._values.width, self._values.height
        self._renderer = self._render_thread.submit(_open_renderer, size_wh).result()
        add_parameter_callbacks(self, self._check_parameters, self._apply_parameters)
        self._timer = self.create_timer(1.0 / self._values.rate_hz, self._tick)

    def destroy_node(self) -> None:
        """Finish the current image, close the renderer, then destroy the node."""
        if self._renderer is not None:
            self._render_thread.submit(self._renderer.close)
        self._render_thread.shutdown()
        super().destroy_node()

    def _tick(self) -> None:
        values = self._values
        # The time of the scene depends on the tick alone, so that images can be reproduced.
        time_s = self._ticks / values.rate_hz if values.moving else 0.0
        self._ticks += 1
        if self._rendering is not None and not self._rendering.done():
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=values.frame_id)
        request = RenderRequest(values.seed, time_s, header, values.depth_encoding)
        self._rendering = self._render_thread.submit(self._render, request)

    def _render(self, request: RenderRequest) -> None:
        """Render and publish; runs in the render thread."""
        assert self._renderer is not None
        try:
            scene = _scene(request.seed).at_time(request.time_s)
            self._outputs.publish(self._renderer.render(scene), scene, request)
        except Exception:
            # At shutdown the context ends before this thread does; publishing then raises.
            if self.context.ok():
                self.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        return check_change(self._values, parameters)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        self._values = change(self._values, parameters)
        if any(parameter.name == 'seed' for parameter in parameters):
            self._ticks = 0


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run_node(SimCamera, args)


def make_box_markers(view: SceneView, scene: Scene, header: Header) -> MarkerArray:
    """The true box of each visible object in the optical frame; the id of a marker is the label of the object."""
    # Pose of the table in the optical frame.
    from_table = np.asarray(np.linalg.inv(view.camera_pose), dtype=np.float64)
    bodies = {body.label: body for body in scene.bodies}
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for body in (bodies[thing.label] for thing in view.objects):
        box = OrientedBox(np.array(body.position_m), body.rotation, np.array(body.size_m)).moved(from_table)
        red, green, blue = body.rgb
        markers.append(make_box_marker(box, body.label, ColorRGBA(r=red, g=green, b=blue, a=0.3), header))
    return MarkerArray(markers=markers)


# Sampling is slow compared with moving the sampled scene, which happens for each image.
_scene = lru_cache(maxsize=1)(sample_scene)


def _open_renderer(size_wh: tuple[int, int]) -> Renderer:
    """Make a renderer; its OpenGL context belongs to the calling thread."""
    try:
        from instructsam_training.tabletop.render.render import Renderer

        return Renderer(size_wh)
    except ImportError as error:
        raise ConfigError(
            f'the simulated camera needs MuJoCo, which cannot be imported ({error}); install the extra sim of this '
            'package, or pip install mujoco'
        ) from error
    except RenderError as error:
        raise ConfigError(str(error)) from error


def _publisher(node: Node, message_type: type[Any], topic: str) -> Publisher[Any]:
    # Reliable publishers also serve best-effort subscriptions.
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
    options = QoSOverridingOptions.with_default_policies()
    return node.create_publisher(message_type, topic, qos, qos_overriding_options=options)


def _transform_publisher(node: Node, *, moving: bool) -> Publisher[Any] | None:
    if find_spec('tf2_msgs') is None:
        node.get_logger().info('tf2_msgs is not installed: the pose of the camera is not published')
        return None
    from tf2_msgs.msg import TFMessage

    # Same QoS as tf2_ros: static transforms are latched.
    durability = DurabilityPolicy.VOLATILE if moving else DurabilityPolicy.TRANSIENT_LOCAL
    return node.create_publisher(
        TFMessage, '/tf' if moving else '/tf_static', QoSProfile(depth=100 if moving else 1, durability=durability)
    )


if __name__ == '__main__':
    main()
