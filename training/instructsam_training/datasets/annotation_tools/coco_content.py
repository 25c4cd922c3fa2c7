"""`CocoContent`: collects images and instances, and becomes the content of a COCO file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle

Points = Sequence[tuple[float, float]]
"""Corners in pixels: x, y."""


@dataclass
class CocoContent:
    """Images with their instances.

    Attributes:
        images, annotations, categories: lists of a COCO file.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)

    def add_image(self, file: Path, size_hw: tuple[int, int] | None = None, name: str = '') -> int:
        """Add an image and return its id; without a size, that of the file counts."""
        entry: dict[str, Any] = {'id': len(self.images) + 1, 'file_name': name or file.absolute().as_posix()}
        if size_hw is not None:
            entry |= {'height': size_hw[0], 'width': size_hw[1]}
        self.images.append(entry)
        return len(self.images)

    def add_category(self, name: str) -> int:
        """Return the id of a category, which is added if it is new.

        Raises:
            ValueError: the name is blank.
        """
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'expected the name of a category, got {name!r}')
        for category in self.categories:
            if category['name'] == name.strip():
                return int(category['id'])
        self.categories.append({'id': len(self.categories) + 1, 'name': name.strip()})
        return len(self.categories)

    def add_polygons(self, image_id: int, category: str, polygons: Sequence[Points]) -> None:
        """Add an instance that is the union of polygons.

        Raises:
            ValueError: the category is blank, or a polygon has fewer than three points or points that are no numbers.
        """
        # COCO: [x, y, x, y, ...] in pixels.
        flat = [[number for point in polygon for number in point] for polygon in polygons]
        for polygon in flat:
            if len(polygon) < 6 or not all(map(math.isfinite, polygon)):
                raise ValueError(f'expected a polygon of at least three points, got {len(polygon) // 2}')
        self._add(image_id, category, {'segmentation': flat})

    def add_mask(self, image_id: int, category: str, rle: Rle) -> None:
        """Add an instance with a mask.

        Raises:
            ValueError: the category is blank, or the mask is empty.
        """
        area = int(coco_mask.area(rle))
        if not area:
            raise ValueError('expected a mask of at least one pixel, got none')
        # left, top, width, height.
        box = [float(edge) for edge in coco_mask.toBbox(rle)]
        self._add(image_id, category, {'segmentation': dict(rle), 'area': area, 'bbox': box})

    def add_box(self, image_id: int, category: str, box_xywh: tuple[float, float, float, float]) -> None:
        """Add an instance of which only the box is known: left, top, width and height in pixels.

        Raises:
            ValueError: the category is blank, or the box is empty.
        """
        if not all(map(math.isfinite, box_xywh)) or min(box_xywh[2:]) <= 0:
            raise ValueError(f'expected a box with a width and a height, got {box_xywh}')
        self._add(image_id, category, {'bbox': list(box_xywh)})

    def _add(self, image_id: int, category: str, shape: dict[str, Any]) -> None:
        # Ids count from 1: some readers take 0 for missing.
        entry = {'id': len(self.annotations) + 1, 'image_id': image_id, 'category_id': self.add_category(category)}
        self.annotations.append({**entry, 'iscrowd': 0, **shape})

    def to_coco(self) -> dict[str, Any]:
        """Return the content of the file."""
        return {'images': self.images, 'annotations': self.annotations, 'categories': self.categories}
