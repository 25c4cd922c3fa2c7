"""`DepthOptions`: the ROS parameters `depth.*`."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model import ConfigError
from instructsam_ros.depth3d.camera_reader import CHOICES
from instructsam_ros.options import ParameterGroup, parameter

TRANSPORTS = ('raw', 'compressedDepth', 'compressed')
"""Of image_transport."""


@dataclass(frozen=True)
class DepthOptions(ParameterGroup):
    """Options of depth; the descriptions are those of the ROS parameters.

    Raises:
        ConfigError: the range is empty, or there are two upward directions.
    """

    enabled: bool = parameter(
        False, 'Subscribe to depth/image and camera_info of each camera and locate instances in 3D.',
        mutable='unconfigured',
    )  # fmt: skip
    image_transport: str = parameter(
        'raw', 'Topic of the depth images: depth/image (raw), depth/image/compressedDepth (compressedDepth, PNG or '
        'RVL), or depth/image/compressed (compressed, PNG or TIFF only, as JPEG loses depth).', choices=TRANSPORTS,
        mutable='unconfigured',
    )  # fmt: skip
    max_offset_s: float = parameter(
        0.02,
        'Maximum difference between the time stamps of an image and its depth image in seconds.',
        range_=(0.0, 1.0),
        name='max_offset',
    )
    max_delay_s: float = parameter(
        0.5, 'Maximum time in seconds that a result waits for its depth image, from the arrival of the image. The '
        'model goes on meanwhile.',
        range_=(0.0, 10.0), name='max_delay',
    )  # fmt: skip
    policy: str = parameter(
        'with_depth', 'Which image of a camera is processed next. newest: the newest. with_depth: if only some images '
        'have depth, the newest of those, for at most max_delay.', choices=('newest', 'with_depth'),
    )  # fmt: skip
    min_m: float = parameter(
        0.1, 'Minimum depth in meters; smaller depth is ignored.', range_=(0.0, 1000.0), name='min'
    )
    max_m: float = parameter(3.0, 'Maximum depth in meters; larger depth is ignored.', range_=(0.0, 1000.0), name='max')
    box_frame: str = parameter(
        '', 'Frame in which 3D boxes are upright, such as base_link; its z axis must point up. Needs tf2_ros. Empty: '
        'boxes are aligned with the principal axes of their points.', mutable='unconfigured',
    )  # fmt: skip
    box_plane: bool = parameter(
        False, 'Make 3D boxes upright on the largest plane in the depth image, such as a table. Needs no transform.'
    )

    rectified: str = parameter(
        'auto',
        'Whether images are raw (K and d of camera_info) or rectified (P). auto: rectified if the name of a topic says '
        'so, as image_rect does, raw otherwise.',
        choices=CHOICES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_m >= self.max_m:
            raise ConfigError(f'min: expected less than depth.max, {self.max_m:g}, got {self.min_m:g}')
        if self.box_frame and self.box_plane:
            raise ConfigError(
                f"box_plane: expected false with depth.box_frame '{self.box_frame}'; only one can define what is up"
            )

    @property
    def range_m(self) -> tuple[float, float]:
        """Nearest and farthest depth that is used."""
        return self.min_m, self.max_m
