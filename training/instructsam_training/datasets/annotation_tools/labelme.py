"""LabelMe: one JSON file for each image, with the shapes drawn on it and the image itself or its path."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import dist
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.masks import Rle, encode_rle, to_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.annotation_tools.coco_content import CocoContent
from instructsam_training.datasets.annotation_tools.shapes import Point, box_of, ellipse, parse_points
from instructsam_training.datasets.io.files import load_json, parse_size_hw, read_size_hw
from instructsam_training.datasets.io.image_files import list_images
from instructsam_training.datasets.io.segmentation import merge

OPEN_SHAPES = ('line', 'linestrip', 'point', 'points')
"""Shapes without an area."""


def read_labelme(folder: Path, images: Path | None, embedded_folder: Path, report: SkipReport) -> CocoContent:
    """Read all files of a folder and its sub-folders.

    Args:
        folder: of the JSON files; or a single one.
        images: folder of the images; those of the paths in the files if not given.
        embedded_folder: folder that images which exist only inside the JSON files are written to.
        report: collects what is dropped.

    Raises:
        ConfigError: there is no such folder, or it has no file of LabelMe.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob('*.json'))
    content, used = CocoContent(), set()
    for file in files:
        try:
            record = load_json(file)
            if not isinstance(record, dict) or not isinstance(record.get('shapes'), list):
                raise ValueError("expected a file of LabelMe with the list 'shapes'")
            image = _find_image(record, file, images, embedded_folder)
            _add(content, record, file, image, report)
            used.add(image.resolve())
        except (ConfigError, ValueError) as error:
            report.skip(file, 'file', str(error))
    if not content.images:
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        raise ConfigError(f'{folder}: expected JSON files of LabelMe, found none that can be used{reason}')
    for path in list_images(images or folder):
        if path.resolve() not in used:
            report.note('images without a JSON file, left out', str(path))
    return content


def _add(content: CocoContent, record: Mapping[str, Any], file: Path, image: Path, report: SkipReport) -> None:
    stated = {'height': record.get('imageHeight'), 'width': record.get('imageWidth')}
    # Stated sizes are compared with the file when the COCO content is read.
    size_hw = read_size_hw(image) if None in stated.values() else parse_size_hw(stated)
    image_id = content.add_image(image, size_hw)
    for instance in _instances(record['shapes'], file, size_hw, report):
        if instance.boxes and (instance.polygons or instance.masks):
            where = f'{file}: {instance.label!r}'
            report.note('rectangles grouped with polygons or masks, left out', where, len(instance.boxes))
        try:
            instance.add_to(content, image_id)
        except ValueError as error:
            report.skip(file, 'shapes', f'{instance.label!r}: {error}')


@dataclass
class _Instance:
    """One instance: a shape, or several shapes of one group.

    Attributes:
        label: name of its category, as in the file.
        polygons, masks, boxes: its shapes; a box is two or four corners, x and y in pixels.
    """

    label: Any
    polygons: list[list[Point]]
    masks: list[Rle]
    boxes: list[list[Point]]

    def add_to(self, content: CocoContent, image_id: int) -> None:
        if self.masks:
            size_hw = tuple(self.masks[0]['size'])
            flat = [[number for point in polygon for number in point] for polygon in self.polygons]
            # Masks and polygons of a group become one mask, their union.
            polygons = [to_rle([polygon], (size_hw[0], size_hw[1])) for polygon in flat]
            content.add_mask(image_id, self.label, merge([*self.masks, *polygons]))
        elif self.polygons:
            content.add_polygons(image_id, self.label, self.polygons)
        else:
            content.add_box(image_id, self.label, box_of([point for box in self.boxes for point in box]))


def _instances(shapes: list[Any], file: Path, size_hw: tuple[int, int], report: SkipReport) -> Iterator[_Instance]:
    """Yield the instances; shapes of one label and group are one instance, as LabelMe's own exporters do it."""
    groups: dict[tuple[Any, ...], _Instance] = {}
    for index, shape in enumerate(shapes):
        try:
            if not isinstance(shape, dict):
                raise ValueError('expected a shape, an object')
            # Shapes without a group are instances of their own: the index keeps their keys apart.
            group = shape.get('group_id')
            # As text, because a damaged file has lists here.
            key = (str(shape.get('label')), index if group is None else None, str(group))
            found = groups.get(key) or _Instance(shape.get('label'), [], [], [])
            _add_shape(found, shape, size_hw)
            groups[key] = found
        except ValueError as error:
            report.skip(file, f'shapes.{index}', str(error))
    yield from groups.values()


def _add_shape(instance: _Instance, shape: Mapping[str, Any], size_hw: tuple[int, int]) -> None:
    kind = shape.get('shape_type') or 'polygon'
    points = parse_points(shape.get('points'))
    if kind == 'rectangle' and len(points) in (2, 4):
        instance.boxes.append(points)
    elif kind == 'circle' and len(points) == 2:
        # A circle is its center and a point on it.
        radius = dist(*points)
        instance.polygons.append(ellipse(points[0], (radius, radius)))
    elif kind == 'mask' and points:
        instance.masks.append(_mask(shape.get('mask'), points[0], size_hw))
    elif kind in ('polygon', 'oriented_rectangle') and len(points) >= 3:
        instance.polygons.append(points)
    elif kind in OPEN_SHAPES:
        raise ValueError(f'{shape.get("label")!r}: expected a shape with an area, got a {kind}')
    else:
        raise ValueError(f'{shape.get("label")!r}: expected a known shape, got {kind!r} of {len(points)} points')


def _mask(encoded: Any, corner: Point, size_hw: tuple[int, int]) -> Rle:
    """Decode the mask of a shape: a PNG that covers the box of the shape only."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            part = np.asarray(image.convert('L')) > 0
    except (TypeError, binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'mask: expected a PNG in base64, got {str(encoded)[:20]!r}: {error}') from None
    # The first point is the upper left corner of the box.
    left, top = round(corner[0]), round(corner[1])
    if left < 0 or top < 0 or left + part.shape[1] > size_hw[1] or top + part.shape[0] > size_hw[0]:
        raise ValueError(f'mask: expected a part of the image, got {part.shape[::-1]} at {left}, {top}')
    mask = np.zeros(size_hw, dtype=bool)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return encode_rle(mask)


def _find_image(record: Mapping[str, Any], file: Path, images: Path | None, embedded_folder: Path) -> Path:
    """Return the image file: that of `imagePath`, else the image inside the JSON file, written to a folder."""
    name = str(record.get('imagePath') or '').replace('\\', '/')
    folders = [file.parent] if images is None else [images, file.parent]
    # With the folders of the path, then without: files may have been moved.
    for candidate in [folder / part for folder in folders for part in (name, Path(name).name)]:
        if name and candidate.is_file():
            return candidate
    if not isinstance(record.get('imageData'), str) or not record['imageData']:
        raise ValueError(f'imagePath: expected the image {name!r} in {folders[0]}, found no such file and no imageData')
    try:
        data = base64.b64decode(record['imageData'], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            suffix = f'.{str(image.format).lower()}'
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'imageData: expected an image in base64, cannot read it: {error}') from None
    # The hash keeps images of equal names in different folders apart.
    path = embedded_folder / f'{file.stem}-{hashlib.sha256(data).hexdigest()[:8]}{suffix}'
    with write_atomically(path) as draft:
        draft.write_bytes(data)
    return path
