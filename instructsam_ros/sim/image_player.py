"""A camera that publishes image files: one image, or the images of a folder one after another.

ros2 run instructsam_ros image_player --ros-args -p path:=images -p rate_hz:=5.0
ros2 param set /image_player path another.png
"""

from __future__ import annotations

from collections.abc import Mapping
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
from instructsam_ros.node.entrypoint import run_node
from instructsam_ros.node.parameter_declaration import check_overrides

CODES_FROM_RGB = {'rgb8': None, 'bgr8': cv2.COLOR_RGB2BGR, 'mono8': cv2.COLOR_RGB2GRAY}
RELIABILITIES = {'best_effort': ReliabilityPolicy.BEST_EFFORT, 'reliable': ReliabilityPolicy.RELIABLE}


class ImageSequence:
    """The images of a file or folder as messages.

    Args:
        path: an image file, or a folder whose image files are read in the order of their names.
        encoding: a key of `CODES_FROM_RGB`.
        loop: restart after the last image.

    Raises:
        ConfigError: the encoding is unknown.
        FrameError: there is no image at the path.
    """

    def __init__(self, path: str, encoding: str, *, loop: bool) -> None:
        if encoding not in CODES_FROM_RGB:
            raise ConfigError(f"encoding: expected one of {', '.join(CODES_FROM_RGB)}, got '{encoding}'")
        self._encoding = encoding
        files = find_images(Path(path)) if path and Path(path).is_dir() else [Path(path)]
        self._files = cycle(files) if loop else iter(files)
        self._file = files[0]
        # Read the first image now, so that the caller gets the error of an unreadable path.
        self._pixels = self._read(self._file)

    def next(self, header: Header) -> Image | None:
        """The next image; None after the last one.

        Raises:
            FrameError: the image cannot be read.
        """
        file = next(self._files, None)
        if file is None:
            return None
        # A single file is published repeatedly but read once.
        if file != self._file:
            self._pixels = self._read(file)
            self._file = file
        return make_image(self._pixels, self._encoding, header)

    def _read(self, file: Path) -> NDArray[np.uint8]:
        image_rgb = read_image(file)
        code = CODES_FROM_RGB[self._encoding]
        return image_rgb if code is None else np.asarray(cv2.cvtColor(image_rgb, code), dtype=np.uint8)


class ImagePlayer(Node):
    """Publishes on `image`. After a successful change of `path`, `encoding` or `loop` only new images are published.

    Raises:
        ConfigError: a parameter has an invalid value.
        FrameError: there is no image at the path.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('image_player', **kwargs)
        self._declare(kwargs)
        self._images: ImageSequence | None = self._open({})
        reliability = self.get_parameter('reliability').value
        if reliability not in RELIABILITIES:
            raise ConfigError(f"reliability: expected one of {', '.join(RELIABILITIES)}, got '{reliability}'")
        self._publisher = self.create_publisher(
            Image, 'image', QoSProfile(depth=1, reliability=RELIABILITIES[reliability])
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)
        # The rate is read-only, so the timer never has to be replaced.
        self._timer = self.create_timer(1.0 / self.get_parameter('rate_hz').value, self._publish_next)

    def _declare(self, created_with: Mapping[str, Any]) -> None:
        rate = [FloatingPointRange(from_value=0.01, to_value=1000.0)]
        parameters: dict[str, tuple[Any, ParameterDescriptor]] = {
            'path': ('', ParameterDescriptor(description='An image file, or a folder of image files.')),
            'encoding': ('rgb8', ParameterDescriptor(description=f'One of {", ".join(CODES_FROM_RGB)}.')),
            'loop': (True, ParameterDescriptor(description='Restart after the last image of a folder.')),
            'frame_id': ('camera_optical_frame', ParameterDescriptor(description='Frame id of the images.')),
            'rate_hz': (
                10.0, ParameterDescriptor(description='Images per second.', read_only=True, floating_point_range=rate)
            ),
            'reliability': (
                'best_effort', ParameterDescriptor(description=f'One of {", ".join(RELIABILITIES)}.', read_only=True)
            ),
        }  # fmt: skip
        check_overrides(self, created_with, parameters)
        for name, (default, descriptor) in parameters.items():
            try:
                self.declare_parameter(name, default, descriptor)
            except (InvalidParameterTypeException, InvalidParameterValueException) as error:
                raise ConfigError(f'parameter {name}: {error}') from error

    def _open(self, changed: dict[str, Any]) -> ImageSequence:
        # The values in `changed` are not set yet: rclpy sets them after this callback has accepted them.
        values = {name: self.get_parameter(name).value for name in ('path', 'encoding', 'loop')} | changed
        return ImageSequence(values['path'], values['encoding'], loop=values['loop'])

    def _on_set_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        changed = {
            parameter.name: parameter.value
            for parameter in parameters
            if parameter.name in ('path', 'encoding', 'loop')
        }
        try:
            if changed:
                self._images = self._open(changed)
        except (ConfigError, FrameError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _publish_next(self) -> None:
        if self._images is None:
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.get_parameter('frame_id').value)
        try:
            message = self._images.next(header)
        except FrameError as error:
            self.get_logger().warning(f'image skipped: {error}', throttle_duration_sec=5.0)
            return
        if message is None:
            self.get_logger().info('the last image was published')
            self._images = None
            return
        self._publisher.publish(message)


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run_node(ImagePlayer, args)


if __name__ == '__main__':
    main()
