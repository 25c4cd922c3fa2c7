"""Exports of images in the layouts of annotation tools, file by file as the tools write them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from PIL import Image

from instructsam_model.masks import encode_rle
from tests.support.own_photos import Mask, Photo

HASH = '3f9a1c07'
"""What Label Studio puts before the name of an upload."""


def polygons_of(mask: Mask) -> list[list[list[float]]]:
    """The outlines of a mask: corners x, y."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [each.reshape(-1, 2) for each in found if len(each) >= 3]
    return [[[float(x), float(y)] for x, y in outline] for outline in outlines]


def names_of(photos: Sequence[Photo]) -> list[str]:
    return sorted({name for photo in photos for name, _ in photo.things})


def export_roboflow(folder: Path, parts: dict[str, Sequence[Photo]]) -> Path:
    """A COCO export of Roboflow: the category 0 names the project, file names have a hash."""
    names = names_of([photo for photos in parts.values() for photo in photos])
    for part, photos in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for number, photo in enumerate(photos):
            file = f'{photo.name}_jpg.rf.{number:032x}.jpg'
            (folder / part / file).write_bytes(photo.jpeg)
            width, height = photo.size_wh
            images.append({
                'id': number, 'license': 1, 'file_name': file, 'height': height, 'width': width,
                'date_captured': '2026-05-04T09:31:12+00:00', 'extra': {'name': f'{photo.name}.jpg'},
            })  # fmt: skip
            for name, mask in photo.things:
                x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
                annotations.append({
                    'id': len(annotations), 'image_id': number, 'category_id': names.index(name) + 1,
                    'bbox': [x, y, w, h], 'area': int(mask.sum()), 'iscrowd': 0,
                    'segmentation': [[n for point in part for n in point] for part in polygons_of(mask)],
                })  # fmt: skip
        categories = [{'id': 0, 'name': 'kitchen-things', 'supercategory': 'none'}] + [
            {'id': i, 'name': name, 'supercategory': 'kitchen-things'} for i, name in enumerate(names, start=1)
        ]
        info = {'year': '2026', 'version': '1', 'description': 'Exported from roboflow.com', 'contributor': ''}
        content = {
            'info': info, 'licenses': [{'id': 1, 'url': 'https://example.org/license', 'name': 'CC BY 4.0'}],
            'categories': categories, 'images': images, 'annotations': annotations,
        }  # fmt: skip
        (folder / part / '_annotations.coco.json').write_text(json.dumps(content))
    (folder / 'README.roboflow.txt').write_text('kitchen-things - v1\n')
    return folder


def export_labelme(folder: Path, photos: Sequence[Photo], *, embedded: bool = False) -> Path:
    """A folder of LabelMe: masks for every second thing, polygons for the others, parts of one thing as a group."""
    folder.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        if not embedded:
            (folder / f'{photo.name}.jpg').write_bytes(photo.jpeg)
        shapes: list[dict[str, Any]] = []
        for number, (name, mask) in enumerate(photo.things):
            shape = {'label': name, 'group_id': None, 'description': '', 'flags': {}, 'mask': None}
            if number % 2:
                x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
                corners = [[float(x), float(y)], [float(x + w - 1), float(y + h - 1)]]
                png = _png(mask[y : y + h, x : x + w])
                shapes.append({**shape, 'shape_type': 'mask', 'points': corners, 'mask': png})
                continue
            parts = polygons_of(mask)
            for part in parts:
                group = number if len(parts) > 1 else None
                shapes.append({**shape, 'shape_type': 'polygon', 'points': part, 'group_id': group})
        record = {
            'version': '5.8.1', 'flags': {}, 'shapes': shapes, 'imagePath': f'{photo.name}.jpg',
            'imageData': base64.b64encode(photo.jpeg).decode() if embedded else None,
            'imageHeight': photo.size_wh[1], 'imageWidth': photo.size_wh[0],
        }  # fmt: skip
        (folder / f'{photo.name}.json').write_text(json.dumps(record, indent=2))
    return folder


def export_label_studio(folder: Path, photos: Sequence[Photo]) -> Path:
    """The JSON export of Label Studio beside its images: brush masks for every second thing, else polygons."""
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    tasks = []
    for number, photo in enumerate(photos, start=1):
        file = f'{HASH}-{photo.name}.jpg'
        (folder / 'images' / file).write_bytes(photo.jpeg)
        results = []
        for index, (name, mask) in enumerate(photo.things):
            for value, kind in _values(name, mask, brush=bool(index % 2)):
                results.append({
                    'original_width': photo.size_wh[0], 'original_height': photo.size_wh[1], 'image_rotation': 0,
                    'value': value, 'id': f'r{number}_{len(results)}', 'from_name': 'label', 'to_name': 'image',
                    'type': kind, 'origin': 'manual',
                })  # fmt: skip
        annotation = {
            'id': number, 'completed_by': 1, 'result': results, 'was_cancelled': False, 'ground_truth': False,
            'created_at': '2026-05-04T09:31:12.482911Z', 'lead_time': 41.2, 'prediction': {}, 'result_count': 0,
        }  # fmt: skip
        tasks.append({
            'id': number, 'annotations': [annotation], 'file_upload': file, 'drafts': [], 'predictions': [],
            'data': {'image': f'/data/upload/1/{file}'}, 'meta': {}, 'total_annotations': 1, 'project': 1,
        })  # fmt: skip
    export = folder / 'project-1-at-2026-05-04-09-40-11a2b3c4.json'
    export.write_text(json.dumps(tasks))
    return export


def export_yolo(folder: Path, parts: dict[str, Sequence[Photo]]) -> Path:
    """A YOLO export: one polygon for each thing, the largest of its parts."""
    names = names_of([photo for photos in parts.values() for photo in photos])
    for part, photos in parts.items():
        for kind in ('images', 'labels'):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        for photo in photos:
            width, height = photo.size_wh
            (folder / part / 'images' / f'{photo.name}.jpg').write_bytes(photo.jpeg)
            lines = []
            for name, mask in photo.things:
                points = max(polygons_of(mask), key=len)
                shares = ' '.join(f'{x / width:.6f} {y / height:.6f}' for x, y in points)
                lines.append(f'{names.index(name)} {shares}\n')
            (folder / part / 'labels' / f'{photo.name}.txt').write_text(''.join(lines))
    # As Roboflow writes it: relative to a folder that does not exist.
    places = {('val' if part == 'valid' else part): f'../{part}/images' for part in parts}
    (folder / 'data.yaml').write_text(yaml.safe_dump({**places, 'nc': len(names), 'names': names}))
    return folder / 'data.yaml'


def brush_bytes(mask: Mask) -> list[int]:
    """Encode a mask as Label Studio's brush does: RGBA values, runs and literals in turn."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = (0, 0, 0, 255)
    values = pixels.ravel()
    bits = [*_number(len(values), 32), *_number(7, 5), *_number(2, 4), *_number(7, 4), *_number(11, 4), *_number(15, 4)]
    sizes = (3, 8, 12, 16)
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1])).tolist()
    literal: list[int] = []
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        run = end - start
        # Short runs go into a chunk of literals.
        if run < 4 and len(literal) + run <= 200:
            literal += values[start:end].tolist()
            continue
        bits += _literals(literal, sizes)
        literal = []
        while run:
            length = min(run, 1 << 16)
            index = next(i for i, size in enumerate(sizes) if length - 1 < 1 << size)
            bits += [1, *_number(index, 2), *_number(length - 1, sizes[index]), *_number(int(values[start]), 8)]
            run -= length
    bits += _literals(literal, sizes)
    return np.packbits(bits).tolist()


def _literals(values: list[int], sizes: tuple[int, ...]) -> list[int]:
    if not values:
        return []
    bits = [0, *_number(1, 2), *_number(len(values) - 1, sizes[1])]
    for value in values:
        bits += _number(value, 8)
    return bits


def _number(value: int, bits: int) -> list[int]:
    return [value >> bit & 1 for bit in reversed(range(bits))]


def _values(name: str, mask: Mask, *, brush: bool) -> list[tuple[dict[str, Any], str]]:
    parts = polygons_of(mask)
    # A polygon region is one outline, so a thing in several parts is brushed.
    if brush or len(parts) != 1:
        return [({'format': 'rle', 'rle': brush_bytes(mask), 'brushlabels': [name]}, 'brushlabels')]
    height, width = mask.shape
    percent = [[100 * x / width, 100 * y / height] for x, y in parts[0]]
    return [({'points': percent, 'closed': True, 'polygonlabels': [name]}, 'polygonlabels')]


def _png(mask: Mask) -> str:
    content = io.BytesIO()
    Image.fromarray(mask).save(content, 'png')
    return base64.b64encode(content.getvalue()).decode()


def rle_of(mask: Mask) -> Any:
    return encode_rle(mask)
