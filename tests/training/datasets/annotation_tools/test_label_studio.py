"""Label Studio's own exports: every instance has its mask, and every region that is dropped is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_mask

from instructsam_model.errors import ConfigError
from tests.support.own_conversion import PHOTOS, check_masks, convert
from tests.support.own_exports import HASH, export_label_studio

SQUARE = {'x': 50, 'y': 25, 'width': 20, 'height': 25}


def test_label_studio(tmp_path: Path) -> None:
    export = export_label_studio(tmp_path / 'export', PHOTOS)
    for source in (export, export.parent):
        found, report = convert('label_studio', source, tmp_path)
        check_masks(found, PHOTOS, 0.7)
        assert not report.errors


def region(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {'original_width': 60, 'original_height': 40, 'image_rotation': 0, 'id': 'a', 'value': value, **more}


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
