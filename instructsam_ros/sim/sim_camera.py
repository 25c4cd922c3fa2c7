"""An RGB-D camera over a simulated table, which also tells the truth about its pictures.

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
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_model import ConfigError
from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.messages.depth_image import UNITS_M, make_depth
from instructsam_ros.messages.geometry import Matrix, make_camera_info, make_transform
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.markers import make_box_marker
from instructsam_ros.node.entrypoint import spin_node
from instructsam_ros.node.parameter_declaration import ParameterGroup, change, declare, parameter
from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.scene.ground_truth import View
from instructsam_training.tabletop.scene.sampling import sample_scene

if TYPE_CHECKING:
    from instructsam_training.tabletop.render.render import Renderer
    from instructsam_training.tabletop.scene.scene import Scene

LOG_PERIOD_S = 5.0


@dataclass(frozen=True)
class CameraParameters(ParameterGroup):
    """What is seen, and how; each field's metadata says the rest.

    Raises:
        ConfigError: a value is not allowed.
    """

    seed: int = parameter(
        1, 'Which scene is on the table; setting it, also to what it is, begins the scene anew. Those of odd seeds are '
        'kept for tests.', range_=(0, 2**62),
    )  # fmt: skip
    rate_hz: float = parameter(10.0, 'Hz; pictures.', range_=(0.1, 100.0), mutable='never')
    width: int = parameter(320, 'Pixels of a row.', range_=(32, 3840), mutable='never')
    height: int = parameter(240, 'Rows of a picture.', range_=(32, 2160), mutable='never')
    moving: bool = parameter(True, 'The camera swings back and forth, and one thing slides.', mutable='never')
    depth_encoding: str = parameter('32FC1', 'Depth in meters (32FC1) or millimeters (16UC1).', choices=tuple(UNITS_M))
    frame_id: str = parameter('camera_optical_frame', 'Frame of the pictures.', mutable='never')
    table_frame_id: str = parameter('table', "Frame in the middle of the table's top, z up.", mutable='never')


@dataclass(frozen=True)
class Shot:
    """A picture to take.

    Attributes:
        seed: of the scene.
        time_s: since the scene began.
        header: of all that is published about it.
        depth_encoding: of `UNITS_M`.
    """

    seed: int
    time_s: float
    header: Header
    depth_encoding: str


class Outputs:
    """What is published about a view, all with one header.

    Where the camera is stands on /tf_static, once for each scene, or, when it moves, with each picture on /tf; on
    neither where tf2_msgs is not installed, as it is not on PyPI.
    """

    def __init__(self, node: Node, values: CameraParameters) -> None:
        self._table_frame_id = values.table_frame_id
        self._is_static = not values.moving
        self._pose = np.zeros((4, 4))
        self._image = _publisher(node, Image, 'image')
        self._depth = _publisher(node, Image, 'depth/image')
        self._camera_info = _publisher(node, CameraInfo, 'camera_info')
        self._labels = _publisher(node, Image, '~/truth/labels')
        self._boxes = _publisher(node, MarkerArray, '~/truth/boxes')
        self._transform = _transform_publisher(node, moving=values.moving)

    def publish(self, view: View, scene: Scene, shot: Shot) -> None:
        """Tell all about a view of a scene."""
        header = shot.header
        height, width = view.labels.shape
        self._publish_transform(view.camera_pose, header)
        self._camera_info.publish(make_camera_info(view.intrinsics, (width, height), header))
        self._image.publish(make_image(view.image_rgb, 'rgb8', header))
        self._depth.publish(make_depth(view.depth_m, shot.depth_encoding, header))
        self._labels.publish(make_image(view.labels, 'mono16', header))
        self._boxes.publish(make_truth(view, scene, header))

    def _publish_transform(self, pose: Matrix, header: Header) -> None:
        if self._transform is None or (self._is_static and np.array_equal(pose, self._pose)):
            return
        from tf2_msgs.msg import TFMessage

        self._pose = pose
        above = Header(stamp=header.stamp, frame_id=self._table_frame_id)
        self._transform.publish(TFMessage(transforms=[make_transform(pose, above, header.frame_id)]))


class SimCamera(Node):
    """Takes a picture at each tick of its clock that finds the one before done; a thread of its own draws them.

    The picture of the n-th tick after the scene began is always the same.

    Raises:
        ConfigError: a parameter has a value that is not allowed, or there is nothing here to draw with.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('sim_camera', **kwargs)
        self._drawer = ThreadPoolExecutor(1, 'drawer')
        self._renderer: Renderer | None = None
        self._drawing: Future[None] | None = None
        self._ticks = 0
        # Where this raises, destroy_node must find all of the above.
        self._values = declare(self, CameraParameters())
        self._outputs = Outputs(self, self._values)
        size_wh = self._values.width, self._values.height
        self._renderer = self._drawer.submit(_open_renderer, size_wh).result()
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._clockwork = self.create_timer(1.0 / self._values.rate_hz, self._tick)

    def destroy_node(self) -> None:
        """Finish the last picture, then end the node."""
        if self._renderer is not None:
            self._drawer.submit(self._renderer.close)
        self._drawer.shutdown()
        super().destroy_node()

    def _tick(self) -> None:
        values = self._values
        time_s = self._ticks / values.rate_hz if values.moving else 0.0
        self._ticks += 1
        if self._drawing is not None and not self._drawing.done():
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=values.frame_id)
        shot = Shot(values.seed, time_s, header, values.depth_encoding)
        self._drawing = self._drawer.submit(self._take, shot)

    def _take(self, shot: Shot) -> None:
        """Draw and publish; runs in the drawer's thread."""
        assert self._renderer is not None
        try:
            scene = _scene(shot.seed).moved(shot.time_s)
            self._outputs.publish(self._renderer.view(scene), scene, shot)
        except Exception:
            if self.context.ok():  # at shutdown the middleware goes before the thread does
                self.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            change(self._values, parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        self._values = change(self._values, parameters)
        if any(parameter.name == 'seed' for parameter in parameters):
            self._ticks = 0


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    spin_node(SimCamera, args)


def make_truth(view: View, scene: Scene, header: Header) -> MarkerArray:
    """The box around each thing of which something is seen, in the optical frame; its id is its label."""
    from_table = np.asarray(np.linalg.inv(view.camera_pose), dtype=np.float64)
    bodies = {body.label: body for body in scene.bodies}
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for body in (bodies[thing.label] for thing in view.things):
        box = OrientedBox(np.array(body.position_m), body.rotation, np.array(body.size_m)).moved(from_table)
        red, green, blue = body.rgb
        markers.append(make_box_marker(box, body.label, ColorRGBA(r=red, g=green, b=blue, a=0.3), header))
    return MarkerArray(markers=markers)


_scene = lru_cache(maxsize=1)(sample_scene)


def _open_renderer(size_wh: tuple[int, int]) -> Renderer:
    """Make a renderer, which belongs to the thread that makes it."""
    try:
        from instructsam_training.tabletop.render.render import Renderer

        return Renderer(size_wh)
    except ImportError as error:
        raise ConfigError(
            f'the simulated camera draws with MuJoCo, which is not here ({error}); install the extra sim of this '
            'package, or pip install mujoco'
        ) from error
    except RenderError as error:
        raise ConfigError(str(error)) from error


def _publisher(node: Node, message_type: type[Any], topic: str) -> Publisher[Any]:
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
    options = QoSOverridingOptions.with_default_policies()
    return node.create_publisher(message_type, topic, qos, qos_overriding_options=options)


def _transform_publisher(node: Node, *, moving: bool) -> Publisher[Any] | None:
    if find_spec('tf2_msgs') is None:
        node.get_logger().info('tf2_msgs is not installed: nobody is told where the camera is')
        return None
    from tf2_msgs.msg import TFMessage

    # As tf2_ros: what is static is latched.
    durability = DurabilityPolicy.VOLATILE if moving else DurabilityPolicy.TRANSIENT_LOCAL
    return node.create_publisher(
        TFMessage, '/tf' if moving else '/tf_static', QoSProfile(depth=100 if moving else 1, durability=durability)
    )


if __name__ == '__main__':
    main()
