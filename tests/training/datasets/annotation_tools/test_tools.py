"""Exports of annotation tools as they come: every instance has its mask, and everything that is lost is named.

Covers coco_content.py, shapes.py, labelme.py, label_studio.py, yolo.py, roboflow.py and brush_rle.py of
datasets/annotation_tools.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.annotation_tools.brush_rle import decode_brush
from instructsam_training.datasets.annotation_tools.category_texts import own_name
from instructsam_training.datasets.annotation_tools.tools import Export, read_export
from instructsam_training.datasets.coco import read_coco
from instructsam_training.datasets.io.coco_samples import CocoOptions
from tests.support.own_exports import (
    HASH,
    brush_bytes,
    export_label_studio,
    export_labelme,
    export_roboflow,
    export_yolo,
    rle_of,
)
from tests.support.own_photos import Mask, Photo

SIZE_WH = (60, 40)


def photo(name: str, *things: tuple[str, Mask]) -> Photo:
    content = io.BytesIO()
    Image.new('RGB', SIZE_WH, 'gray').save(content, 'jpeg')
    return Photo(name, content.getvalue(), SIZE_WH, things)


def block(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros(SIZE_WH[::-1], dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


TWO_PARTS = block(2, 2, 14, 12) | block(20, 2, 32, 12)
PHOTOS = (
    photo('IMG_1', ('Red_Mug', block(5, 5, 25, 25)), ('fork', block(30, 8, 50, 30)), ('Red_Mug', block(3, 28, 20, 39))),
    photo('IMG_2', ('fork', TWO_PARTS), ('plate', block(34, 14, 58, 38))),
)
"""Parts of at least 10 pixels, so that the half pixel that a polygon loses at each edge matters little."""


def convert(tool: str, source: Path, out: Path, split: str = '', images: Path | None = None) -> tuple[Any, SkipReport]:
    """The masks of an export by image and phrase."""
    report = SkipReport()
    file = read_export(tool, Export(source, images, split, out / 'own.coco.json'), report)
    folder = images or (file.parent if file.name != 'own.coco.json' else out)
    samples = read_coco(file, report, folder, CocoOptions(boxes=True), spoken_name=own_name)
    found = {
        sample.image.name: {each.phrase: (each.masks, each.box_only) for each in sample.annotations}
        for sample in samples
    }
    return found, report


def check_masks(found: dict[str, Any], photos: Sequence[Photo], least_iou: float) -> None:
    assert len(found) == len(photos)
    for each in photos:
        [annotations] = [value for name, value in found.items() if each.name in name]
        phrases = {own_name({'name': name}) for name, _ in each.things}
        assert set(annotations) == phrases
        for phrase, (masks, box_only) in annotations.items():
            truth = [rle_of(mask) for name, mask in each.things if own_name({'name': name}) == phrase]
            iou = coco_mask.iou(list(masks), truth, [0] * len(truth))
            assert iou.shape == (len(truth), len(truth))
            assert (iou.max(axis=1) >= least_iou).all(), (each.name, phrase, iou)
            assert not box_only


def test_roboflow(tmp_path: Path) -> None:
    folder = export_roboflow(tmp_path / 'export', {'train': PHOTOS[:1], 'valid': PHOTOS[1:]})
    for split, part in (('train', PHOTOS[:1]), ('val', PHOTOS[1:]), ('valid', PHOTOS[1:])):
        found, report = convert('roboflow', folder, tmp_path, split)
        check_masks(found, part, 0.7)
        assert not report.errors
    with pytest.raises(ConfigError, match=r'test/_annotations.coco.json; it has the splits train, val'):
        convert('roboflow', folder, tmp_path, 'test')
    with pytest.raises(ConfigError, match=r"--split: expected one of train, val, test of the export, got ''"):
        convert('roboflow', folder, tmp_path)


@pytest.mark.parametrize('embedded', [False, True])
def test_labelme(tmp_path: Path, embedded: bool) -> None:
    folder = export_labelme(tmp_path / 'export', PHOTOS, embedded=embedded)
    found, report = convert('labelme', folder, tmp_path / 'out')
    check_masks(found, PHOTOS, 0.7)
    assert not report.errors
    # Images that exist only inside of the JSON files are written beside the output, never into the export.
    assert embedded == (tmp_path / 'out' / 'own_images').exists()
    assert embedded != any(folder.glob('*.jpg'))


def test_label_studio(tmp_path: Path) -> None:
    export = export_label_studio(tmp_path / 'export', PHOTOS)
    for source in (export, export.parent):
        found, report = convert('label_studio', source, tmp_path)
        check_masks(found, PHOTOS, 0.7)
        assert not report.errors


def test_yolo(tmp_path: Path) -> None:
    data = export_yolo(tmp_path / 'export', {'train': PHOTOS[:1], 'valid': [PHOTOS[0]]})
    for source, split in ((data, 'train'), (data.parent, 'val')):
        found, report = convert('yolo', source, tmp_path, split)
        check_masks(found, PHOTOS[:1], 0.7)
        assert not report.errors
    with pytest.raises(ConfigError, match='expected the split test, it has train, val'):
        convert('yolo', data, tmp_path, 'test')


def test_brush_masks_are_those_of_the_tools_own_encoder() -> None:
    """A rectangle in 4x6 pixels, as label-studio-converter 0.0.59 encodes it."""
    encoded = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 27, 0, 0]
    expected = np.zeros((4, 6), dtype=bool)
    expected[1:3, 2:5] = True
    assert np.array_equal(decode_rle(decode_brush(encoded, (4, 6))), expected)


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ([], 'expected a list of bytes'),
        ('AAA', 'expected a list of bytes'),
        ([0, 300], 'expected a list of bytes'),
        ([0, 0, 0, 96, 57], 'it breaks off'),
        ([0, 0, 0, 92, 57, 27, 254, 31], 'expected 96 values of 8 bits, 4 for each pixel, got 92 of 8'),
        ([199501, 1, 996, 7], 'expected a list of bytes'),
    ],
)
def test_wrong_brush_masks(values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_brush(values, (4, 6))


def labelme_shape(kind: str, points: Any, **more: Any) -> dict[str, Any]:
    return {'label': 'mug', 'group_id': None, 'shape_type': kind, 'points': points, **more}


@pytest.mark.parametrize(
    ('shape', 'area', 'is_box'),
    [
        (labelme_shape('rectangle', [[30, 20], [10, 5]]), 300, True),
        (labelme_shape('circle', [[30, 20], [30, 10]]), 314, False),
        (labelme_shape('oriented_rectangle', [[10, 10], [20, 10], [20, 20], [10, 20]]), 100, False),
        # Files of version 3 have no shape_type.
        ({'label': 'mug', 'points': [[10, 10], [20, 10], [20, 20], [10, 20]]}, 100, False),
    ],
)
def test_shapes_of_labelme(tmp_path: Path, shape: dict[str, Any], area: int, is_box: bool) -> None:
    write_labelme(tmp_path, [shape])
    found, report = convert('labelme', tmp_path, tmp_path / 'out')
    [(masks, box_only)] = found['IMG_1.jpg'].values()
    assert abs(int(coco_mask.area(masks[0])) - area) <= 0.05 * area
    assert (box_only, report.errors) == (is_box, [])


@pytest.mark.parametrize(
    ('shape', 'said'),
    [
        (labelme_shape('point', [[3, 4]]), 'expected a shape with an area, got a point'),
        (labelme_shape('linestrip', [[3, 4], [5, 6], [7, 8]]), 'got a linestrip'),
        (labelme_shape('polygon', [[3, 4], [5, 6]]), "got 'polygon' of 2 points"),
        (labelme_shape('polygon', 'all'), 'expected points as pairs of numbers'),
        (labelme_shape('mask', [[3, 4], [5, 6]], mask='?'), 'mask: expected a PNG in base64'),
        (labelme_shape('hexagon', [[3, 4]] * 6), "expected a known shape, got 'hexagon'"),
        ({**labelme_shape('circle', [[30, 20], [30, 10]]), 'label': ' '}, "expected the name of a category, got ' '"),
        (labelme_shape('rectangle', [[30, 20], [30, 20]]), 'expected a box with a width and a height'),
        ('mug', 'expected a shape, an object'),
    ],
)
def test_shapes_of_labelme_that_are_dropped_are_named(tmp_path: Path, shape: Any, said: str) -> None:
    write_labelme(tmp_path, [shape, {**labelme_shape('circle', [[30, 20], [30, 10]]), 'label': 'other'}])
    found, report = convert('labelme', tmp_path, tmp_path / 'out')
    assert [*found['IMG_1.jpg']] == ['other']
    assert said in str(report.errors[0])


def test_labelme_names_files_that_it_cannot_use(tmp_path: Path) -> None:
    write_labelme(tmp_path, [labelme_shape('circle', [[30, 20], [30, 10]])])
    (tmp_path / 'a.json').write_text('{"version": "5"}')
    (tmp_path / 'b.json').write_text('{"shapes": [], "imagePath": "..\\\\gone.jpg", "imageData": null}')
    (tmp_path / 'unlabeled.PNG').write_bytes(PHOTOS[1].jpeg)
    _, report = convert('labelme', tmp_path, tmp_path / 'out')
    reasons = [str(error) for error in report.errors]
    assert "expected a file of LabelMe with the list 'shapes'" in reasons[0]
    assert "expected the image '../gone.jpg'" in reasons[1]
    assert report.notes['images without a JSON file, left out'] == 1
    (tmp_path / 'IMG_1.json').unlink()
    with pytest.raises(ConfigError, match='expected JSON files of LabelMe, found none that can be used; the first'):
        convert('labelme', tmp_path, tmp_path / 'out')


def write_labelme(folder: Path, shapes: list[Any]) -> None:
    (folder / 'IMG_1.jpg').write_bytes(PHOTOS[0].jpeg)
    record = {'shapes': shapes, 'imagePath': 'IMG_1.jpg', 'imageData': None, 'imageHeight': 40, 'imageWidth': 60}
    (folder / 'IMG_1.json').write_text(json.dumps(record))


def region(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {'original_width': 60, 'original_height': 40, 'image_rotation': 0, 'id': 'a', 'value': value, **more}


SQUARE = {'x': 50, 'y': 25, 'width': 20, 'height': 25}


def write_task(folder: Path, results: list[Any], **task: Any) -> Path:
    (folder / 'media').mkdir()
    (folder / 'media' / 'IMG_1.jpg').write_bytes(PHOTOS[0].jpeg)
    content = {'id': 1, 'annotations': [{'result': results}], 'data': {'image': f'/data/upload/7/{HASH}-IMG_1.jpg'}}
    file = folder / 'export.json'
    file.write_text(json.dumps([content | task]))
    return file


@pytest.mark.parametrize(
    ('results', 'area', 'is_box'),
    [
        ([region({**SQUARE, 'rotation': 0, 'rectanglelabels': ['mug']})], 120, True),
        ([region({**SQUARE, 'rotation': 90, 'rectanglelabels': ['mug']})], 120, False),
        ([region({'x': 50, 'y': 50, 'radiusX': 20, 'radiusY': 25, 'ellipselabels': ['mug']})], 377, False),
        # The tags Polygon and Labels: two results of one id.
        (
            [
                region({'points': [[10, 10], [60, 10], [60, 60], [10, 60]]}, type='polygon'),
                region({'points': [[10, 10], [60, 10], [60, 60], [10, 60]], 'labels': ['mug']}, type='labels'),
            ],
            600,
            False,
        ),
    ],
)
def test_regions_of_label_studio(tmp_path: Path, results: list[Any], area: int, is_box: bool) -> None:
    found, report = convert('label_studio', write_task(tmp_path, results), tmp_path)
    [(masks, box_only)] = found['IMG_1.jpg'].values()
    assert len(masks) == 1
    assert abs(int(coco_mask.area(masks[0])) - area) <= 0.05 * area
    assert (box_only, report.errors) == (is_box, [])


@pytest.mark.parametrize(
    ('result', 'said'),
    [
        (region({**SQUARE}), 'region a: expected a label, got none'),
        (region({**SQUARE, 'rectanglelabels': ['fork']}, image_rotation=90), 'image_rotation: expected 0, got 90'),
        (region({'format': 'rle', 'rle': [0, 1], 'brushlabels': ['fork']}), "of 'fork': rle: expected a complete"),
        (region({'x': 1, 'y': 1, 'width': 5, 'rectanglelabels': ['fork']}), "of 'fork': lacks 'height'"),
        (region({'keypointlabels': ['fork'], 'labels': ['fork'], 'x': 1}), 'expected a polygon, brush, rectangle'),
    ],
)
def test_regions_of_label_studio_that_are_dropped_are_named(tmp_path: Path, result: Any, said: str) -> None:
    good = region({**SQUARE, 'rectanglelabels': ['mug']}, id='b')
    found, report = convert('label_studio', write_task(tmp_path, [result, good]), tmp_path)
    assert [*found['IMG_1.jpg']] == ['mug']
    assert said in str(report.errors[0])


def test_tasks_of_label_studio_that_nobody_annotated(tmp_path: Path) -> None:
    good = {
        'result': [region({**SQUARE, 'rectanglelabels': ['mug']}), {'type': 'choices', 'value': {'choices': ['x']}}]
    }
    canceled = {'was_cancelled': True, 'result': [region({**SQUARE, 'rectanglelabels': ['fork']})]}
    found, report = convert(
        'label_studio', write_task(tmp_path, [], annotations=[canceled, good, {'result': []}]), tmp_path
    )
    assert [*found['IMG_1.jpg']] == ['mug']
    assert report.notes['further annotations of a task, left out'] == 1
    assert report.notes['results that are no regions (choices), left out'] == 1
    (tmp_path / 'export.json').write_text(json.dumps([{'id': 1, 'annotations': [], 'data': {'image': 'a.jpg'}}]))
    with pytest.raises(ConfigError, match='expected annotated tasks of Label Studio, found none'):
        convert('label_studio', tmp_path / 'export.json', tmp_path)


@pytest.mark.parametrize(
    'address', ['/data/local-files/?d=media/IMG_1.jpg', 's3://bucket/a%20b/IMG_1.jpg', 'media\\IMG_1.jpg', 'IMG_1.jpg']
)
def test_images_of_label_studio_are_found(tmp_path: Path, address: str) -> None:
    # JSON-MIN: fields of the task itself.
    task = {'id': 1, 'image': address, 'label': [region({}) | SQUARE | {'rectanglelabels': ['mug']}]}
    file = write_task(tmp_path, [])
    file.write_text(json.dumps([task]))
    found, _ = convert('label_studio', file, tmp_path)
    assert [*found['IMG_1.jpg']] == ['mug']


@pytest.mark.parametrize(
    ('line', 'said'),
    [
        ('7 0.1 0.1 0.5 0.1 0.5 0.5', 'class: expected one of 0 to 2, got 7'),
        ('0 0.1 0.1 0.5 0.1', ''),
        ('0 0.1 0.1 0.5 0.1 0.5', 'got 5 numbers'),
        ('0 10 10 50 10 50 50', 'expected shares of the image, 0 to 1, got 10; are they pixels?'),
        ('mug 0.1 0.1', "expected numbers, got 'mug 0.1 0.1'"),
        ('0 0.1 0.1 0 0', 'expected a box with a width and a height'),
    ],
)
def test_lines_of_yolo_that_are_dropped_are_named(tmp_path: Path, line: str, said: str) -> None:
    data = export_yolo(tmp_path / 'export', {'train': PHOTOS})
    labels = tmp_path / 'export' / 'train' / 'labels' / 'IMG_1.txt'
    labels.write_text(f'{labels.read_text()}{line}\n\n')
    _, report = convert('yolo', data, tmp_path, 'train')
    assert [str(error) for error in report.errors] == ([f'{labels}[line 4]: {report.errors[0].reason}'] if said else [])
    assert said in str(report.errors)


def test_yolo_names_images_without_labels_and_repeated_lines(tmp_path: Path) -> None:
    data = export_yolo(tmp_path / 'export', {'train': PHOTOS})
    labels = tmp_path / 'export' / 'train' / 'labels'
    (labels / 'IMG_2.txt').unlink()
    (labels / 'IMG_1.txt').write_text((labels / 'IMG_1.txt').read_text() * 2)
    (labels / 'IMG_9.txt').write_text('0 0.5 0.5 0.1 0.1')
    _, report = convert('yolo', data, tmp_path, 'train')
    assert report.notes['files of labels without an image, left out'] == 1
    assert report.notes['images without a file of labels: nothing to find in them'] == 1
    assert report.notes['lines that repeat another of their file, left out'] == 3


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('train: images\nnames: []', 'names: expected a list of the names of the classes'),
        ('train: images\nnames: [yes, no]', 'expected yes, no, on, off and null in quotes'),
        ('train: images\nnames: [a, b]\nnc: 3', 'expected 3 names as nc says, got 2'),
        ('train: nowhere\nnames: {0: a}', 'nowhere: expected a folder of images, found none of'),
        ('- a', 'expected the keys train, val and names'),
        ('names: [', 'expected YAML'),
    ],
)
def test_wrong_data_yaml(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'data.yaml').write_text(text)
    with pytest.raises(ConfigError, match=said):
        convert('yolo', tmp_path, tmp_path, 'train')


def test_a_base64_mask_is_placed_at_its_corner(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.ones((10, 20), dtype=bool)).save(content, 'png')
    png = base64.b64encode(content.getvalue()).decode()
    write_labelme(tmp_path, [labelme_shape('mask', [[30, 20], [49, 29]], mask=png)])
    found, _ = convert('labelme', tmp_path, tmp_path / 'out')
    [(masks, _)] = found['IMG_1.jpg'].values()
    assert np.array_equal(decode_rle(masks[0]), block(30, 20, 50, 30))


def test_brush_bytes_round_trip() -> None:
    mask = TWO_PARTS & (np.random.default_rng(0).random(TWO_PARTS.shape) < 0.7)
    assert np.array_equal(decode_rle(decode_brush(brush_bytes(mask), mask.shape)), mask)
