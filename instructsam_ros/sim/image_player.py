"""A camera made of files: publishes a picture, or the pictures of a folder in turn, as `sensor_msgs/Image`.

ros2 run instructsam_ros image_player --ros-args -p path:=pictures -p rate_hz:=5.0
ros2 param set /image_player path another.png
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model import ConfigError, FrameError
from instructsam_model.image_io import find_images, read_image
from instructsam_ros.messages.image import make_image
from instructsam_ros.node.entrypoint import spin_node

CODES_FROM_RGB = {'rgb8': None, 'bgr8': cv2.COLOR_RGB2BGR, 'mono8': cv2.COLOR_RGB2GRAY}
RELIABILITIES = {'best_effort': ReliabilityPolicy.BEST_EFFORT, 'reliable': ReliabilityPolicy.RELIABLE}


class Player:
    """The pictures of a file or folder, one after the other.

    Args:
        path: a picture, or a folder of pictures that are shown in the order of their names.
        encoding: rgb8, bgr8 or mono8.
        loop: begin again after the last.

    Raises:
        ConfigError: the encoding is another.
        FrameError: there is no picture at the path.
    """

    def __init__(self, path: str, encoding: str, *, loop: bool) -> None:
        if encoding not in CODES_FROM_RGB:
            raise ConfigError(f"encoding: expected one of {', '.join(CODES_FROM_RGB)}, got '{encoding}'")
        self._encoding = encoding
        files = find_images(Path(path)) if path and Path(path).is_dir() else [Path(path)]
        self._turns = cycle(files) if loop else iter(files)
        self._file = files[0]
        self._pixels = self._read(self._file)  # now, while somebody can be told

    def next(self, header: Header) -> Image | None:
        """The next picture; None after the last.

        Raises:
            FrameError: the picture cannot be read.
        """
        file = next(self._turns, None)
        if file is None:
            return None
        if file != self._file:
            self._pixels = self._read(file)
            self._file = file
        return make_image(self._pixels, self._encoding, header)

    def _read(self, file: Path) -> NDArray[np.uint8]:
        image_rgb = read_image(file)
        code = CODES_FROM_RGB[self._encoding]
        return image_rgb if code is None else np.asarray(cv2.cvtColor(image_rgb, code), dtype=np.uint8)


class ImagePlayer(Node):
    """Publishes on `image`. The path may be changed at any time: once that is answered, the new pictures are shown.

    Raises:
        ConfigError, FrameError: a parameter has a value that is not allowed, or there is no picture.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('image_player', **kwargs)
        self._declare()
        self._player: Player | None = self._make_player({})
        reliability = self.get_parameter('reliability').value
        if reliability not in RELIABILITIES:
            raise ConfigError(f"reliability: expected one of {', '.join(RELIABILITIES)}, got '{reliability}'")
        self._publisher = self.create_publisher(
            Image, 'image', QoSProfile(depth=1, reliability=RELIABILITIES[reliability])
        )
        self.add_on_set_parameters_callback(self._change)
        self._clockwork = self.create_timer(1.0 / self.get_parameter('rate_hz').value, self._show_next)

    def _declare(self) -> None:
        rate = [FloatingPointRange(from_value=0.01, to_value=1000.0)]
        declared: dict[str, tuple[Any, ParameterDescriptor]] = {
            'path': ('', ParameterDescriptor(description='A picture, or a folder of pictures.')),
            'encoding': ('rgb8', ParameterDescriptor(description=f'One of {", ".join(CODES_FROM_RGB)}.')),
            'loop': (True, ParameterDescriptor(description='Begin again after the last picture of a folder.')),
            'frame_id': ('camera_optical_frame', ParameterDescriptor(description='Frame of the pictures.')),
            'rate_hz': (
                10.0, ParameterDescriptor(description='Pictures per second.', read_only=True, floating_point_range=rate)
            ),
            'reliability': (
                'best_effort', ParameterDescriptor(description=f'One of {", ".join(RELIABILITIES)}.', read_only=True)
            ),
        }  # fmt: skip
        for name, (default, descriptor) in declared.items():
            try:
                self.declare_parameter(name, default, descriptor)
            except (InvalidParameterTypeException, InvalidParameterValueException) as error:
                raise ConfigError(f'parameter {name}: {error}') from error

    def _make_player(self, changed: dict[str, Any]) -> Player:
        values = {name: self.get_parameter(name).value for name in ('path', 'encoding', 'loop')} | changed
        return Player(values['path'], values['encoding'], loop=values['loop'])

    def _change(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        changed = {
            parameter.name: parameter.value
            for parameter in parameters
            if parameter.name in ('path', 'encoding', 'loop')
        }
        try:
            if changed:
                self._player = self._make_player(changed)
        except (ConfigError, FrameError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _show_next(self) -> None:
        if self._player is None:
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.get_parameter('frame_id').value)
        try:
            message = self._player.next(header)
        except FrameError as error:
            self.get_logger().warning(f'picture left out: {error}', throttle_duration_sec=5.0)
            return
        if message is None:
            self.get_logger().info('the last picture was shown')
            self._player = None
            return
        self._publisher.publish(message)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    spin_node(ImagePlayer, args)


if __name__ == '__main__':
    main()
