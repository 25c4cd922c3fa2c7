"""Content of small COCO files for tests: images of 4 x 6 pixels."""

from __future__ import annotations

from typing import Any

LEFT, RIGHT = [0, 0, 2, 0, 2, 4, 0, 4], [4, 0, 6, 0, 6, 4, 4, 4]
"""Polygons of the two columns at the left and at the right."""


def instance(category: Any, segmentation: Any, image_id: Any = 1, **changes: Any) -> dict[str, Any]:
    fields = {'id': 7, 'image_id': image_id, 'category_id': category, 'segmentation': segmentation, 'iscrowd': 0}
    return {**fields, 'bbox': [4, 0, 2, 4], **changes}


def content(images: list[Any], annotations: list[Any], *categories: Any) -> dict[str, Any]:
    named = [{'id': i, 'name': c} if isinstance(c, str) else c for i, c in enumerate(categories, start=1)]
    return {'info': {}, 'images': images, 'annotations': annotations, 'categories': named}


def image_entry(image_id: Any = 1, **changes: Any) -> dict[str, Any]:
    name = f'{image_id:012}.jpg' if isinstance(image_id, int) else f'{image_id}.jpg'
    return {'id': image_id, 'file_name': name, 'height': 4, 'width': 6, **changes}
