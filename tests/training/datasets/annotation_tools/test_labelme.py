"""LabelMe files: every instance has its mask, and every shape that is dropped is reported.

Covers shapes.py and coco_content.py of datasets/annotation_tools.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from tests.support.own_conversion import PHOTOS, block, check_masks, convert
from tests.support.own_exports import export_labelme


@pytest.mark.parametrize('embedded', [False, True])
def test_labelme(tmp_path: Path, embedded: bool) -> None:
    folder = export_labelme(tmp_path / 'export', PHOTOS, embedded=embedded)
    found, report = convert('labelme', folder, tmp_path / 'out')
    check_masks(found, PHOTOS, 0.7)
    assert not report.errors
    # Images that exist only inside of the JSON files are written beside the output, never into the export.
    assert embedded == (tmp_path / 'out' / 'own_images').exists()
    assert embedded != any(folder.glob('*.jpg'))


def labelme_shape(kind: str, points: Any, **more: Any) -> dict[str, Any]:
    return {'label': 'mug', 'group_id': None, 'shape_type': kind, 'points': points, **more}


def write_labelme(folder: Path, shapes: list[Any]) -> None:
    (folder / 'IMG_1.jpg').write_bytes(PHOTOS[0].jpeg)
    record = {'shapes': shapes, 'imagePath': 'IMG_1.jpg', 'imageData': None, 'imageHeight': 40, 'imageWidth': 60}
    (folder / 'IMG_1.json').write_text(json.dumps(record))


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


def test_rectangles_that_other_shapes_of_their_group_replace_are_counted(tmp_path: Path) -> None:
    polygon = labelme_shape('polygon', [[10, 10], [20, 10], [20, 20], [10, 20]], group_id=1)
    write_labelme(tmp_path, [labelme_shape('rectangle', [[5, 5], [30, 30]], group_id=1), polygon])
    found, report = convert('labelme', tmp_path, tmp_path / 'out')
    [(masks, box_only)] = found['IMG_1.jpg'].values()
    assert (int(coco_mask.area(masks[0])), box_only) == (100, False)
    assert report.notes == {'rectangles grouped with polygons or masks, left out': 1}


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


def test_a_base64_mask_is_placed_at_its_corner(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.ones((10, 20), dtype=bool)).save(content, 'png')
    png = base64.b64encode(content.getvalue()).decode()
    write_labelme(tmp_path, [labelme_shape('mask', [[30, 20], [49, 29]], mask=png)])
    found, _ = convert('labelme', tmp_path, tmp_path / 'out')
    [(masks, _)] = found['IMG_1.jpg'].values()
    assert np.array_equal(decode_rle(masks[0]), block(30, 20, 50, 30))
