"""`Located`: the 3D of one result, or why it has none."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_ros.depth3d.geometry import Geometry3D
from instructsam_ros.depth3d.missing_depth import NoDepthError


@dataclass(frozen=True, eq=False)
class Located:
    """The 3D of one result.

    Attributes:
        geometry: where the instances are; None without depth.
        no_points: why no instance has points; None if one has, or if there are no instances.
        no_boxes: why no instance has a box; None if one has, or if there are no instances.
        frame_id: frame of the outputs; empty for that of the image.
    """

    geometry: Geometry3D | None = None
    no_points: NoDepthError | None = None
    no_boxes: NoDepthError | None = None
    frame_id: str = ''
