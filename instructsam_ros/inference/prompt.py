"""`Prompt`: where the instances of a request are. Imports no ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from instructsam_model import Instance, RequestError, Segmentation

MAX_NAMED = 5
"""Number of wrong points that an error message names."""

PointXy = tuple[float, float]


@dataclass(frozen=True)
class Prompt:
    """Points and a region of an image; the center of the first pixel is at (0, 0).

    Attributes:
        points_xy: an instance contains at least one of them; empty: it may be anywhere.
        region_xyxy: the box of an instance overlaps it; x2 and y2 are exclusive. None: it may be anywhere.

    Raises:
        RequestError: a point is not finite, or the region is empty.
    """

    points_xy: tuple[PointXy, ...] = ()
    region_xyxy: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        broken = [point for point in self.points_xy if not all(map(math.isfinite, point))]
        if broken:
            raise RequestError(f'prompt_points: expected finite pixel coordinates, got {_named(broken)}')
        if self.region_xyxy is not None:
            x1, y1, x2, y2 = self.region_xyxy
            if x2 <= x1 or y2 <= y1:
                raise RequestError(
                    f'prompt_region: expected a width and a height of at least 1, got {x2 - x1}x{y2 - y1}; leave all '
                    'of it 0 for no region'
                )

    def check(self, size_wh: tuple[int, int]) -> None:
        """Check that the prompt is inside of an image.

        Raises:
            RequestError: a point, or the whole region, is outside.
        """
        width, height = size_wh
        outside = [(x, y) for x, y in self.points_xy if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5)]
        if outside:
            raise RequestError(
                f'prompt_points: expected points in the image of {width}x{height}, got {_named(outside)}'
            )
        if self.region_xyxy is not None:
            x1, y1, x2, y2 = self.region_xyxy
            if x1 >= width or y1 >= height:
                raise RequestError(
                    f'prompt_region: expected a region in the image of {width}x{height}, got x {x1} to {x2}, y {y1} to '
                    f'{y2}'
                )

    def select(self, segmentation: Segmentation, max_instances: int) -> tuple[Segmentation, int]:
        """Return a segmentation with the instances that fit, and the number of those that do not."""
        kept = [instance for instance in segmentation.instances if self._fits(instance)]
        selected = replace(
            segmentation,
            instances=tuple(kept[:max_instances]),
            truncated=segmentation.truncated or len(kept) > max_instances,
        )
        return selected, len(segmentation.instances) - len(kept)

    def _fits(self, instance: Instance) -> bool:
        if self.points_xy and not any(
            instance.mask[math.floor(y + 0.5), math.floor(x + 0.5)] for x, y in self.points_xy
        ):
            return False
        if self.region_xyxy is None:
            return True
        x1, y1, x2, y2 = self.region_xyxy
        left, top, right, bottom = instance.box_xyxy.tolist()
        return bool(left < x2 and x1 < right and top < y2 and y1 < bottom)


def _named(points_xy: list[PointXy]) -> str:
    """Return the first points as text."""
    more = f' and {len(points_xy) - MAX_NAMED} more' if len(points_xy) > MAX_NAMED else ''
    return ', '.join(f'({x:g}, {y:g})' for x, y in points_xy[:MAX_NAMED]) + more
