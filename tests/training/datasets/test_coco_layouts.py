"""COCO-like data sets: file layout and category names of each. Covers datasets/coco.py with test_coco.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.coco import read_categories

LEFT = [0, 0, 2, 0, 2, 4, 0, 4]
PART = np.zeros((4, 6), dtype=bool)
PART[1:3, 2] = True
RLE = encode_rle(PART)


@pytest.mark.parametrize(
    ('name', 'file', 'image', 'segmentation', 'category', 'phrase', 'where'),
    [
        (
            'lvis',
            'lvis_v1_train.json',
            {'coco_url': 'http://images.cocodataset.org/val2017/000000391895.jpg'},
            [LEFT],
            'bow_(decorative_ribbons)',
            'bow',
            'val2017/000000391895.jpg',
        ),
        (
            'lvis',
            'annotations/lvis_v1_train.json',
            {'coco_url': 'http://images.cocodataset.org/train2017/000000391895.jpg'},
            [LEFT],
            'alarm_clock',
            'alarm clock',
            'train2017/000000391895.jpg',
        ),
        (
            'paco_lvis',
            'annotations/paco_lvis_v1_train.json',
            {'file_name': 'train2017/000000391895.jpg'},
            RLE,
            'car_(automobile):inner_side',
            'the inner side of the car',
            'train2017/000000391895.jpg',
        ),
        (
            'paco_ego4d',
            'annotations/paco_ego4d_v1_train.json',
            {'file_name': '000cd456-ff8d-499b_000024.jpeg'},
            RLE,
            'trash_can',
            'trash can',
            'images/000cd456-ff8d-499b_000024.jpeg',
        ),
        (
            'pascal_part',
            'train.json',
            {'file_name': '2008_000002.jpg'},
            RLE,
            'bus:license plate',
            'the license plate of the bus',
            'VOCdevkit/VOC2010/JPEGImages/2008_000002.jpg',
        ),
        (
            'partimagenet',
            'train.json',
            {'file_name': 'n01440764_10029.JPEG'},
            [LEFT, [1, 1, 2, 2]],
            {'id': 1, 'name': 'Quadruped Head', 'supercategory': 'Quadruped'},
            'the head of the quadruped',
            'train/n01440764/n01440764_10029.JPEG',
        ),
        (
            'partimagenet',
            'train_format.json',
            {'file_name': 'n01440764/n01440764_10029.JPEG'},
            [LEFT],
            {'id': 1, 'name': 'Car Side Mirror', 'supercategory': 'Car'},
            'the side mirror of the car',
            'train/n01440764/n01440764_10029.JPEG',
        ),
        (
            'partimagenet',
            'annotations/train/train.json',
            {'file_name': 'n01440764_10029.JPEG'},
            [LEFT],
            'Fish Fin',
            'the fin of the fish',
            'images/train/n01440764_10029.JPEG',
        ),
        (
            'objects365',
            'annotations/zhiyuan_objv2_train.json',
            {'file_name': 'images/v2/patch45/objects365_v2_02060288.jpg'},
            None,
            'Cabinet/shelf',
            'cabinet or shelf',
            'train/patch45/objects365_v2_02060288.jpg',
        ),
        (
            'objects365',
            'train/zhiyuan_objv2_train.json',
            {'file_name': 'images/v1/patch8/objects365_v1_00420917.jpg'},
            None,
            'Wild Bird ',
            'wild bird',
            'train/images/v1/patch8/objects365_v1_00420917.jpg',
        ),
    ],
)
def test_layout_and_category_names_of_each_data_set(
    save: Callable[..., Path],
    report: SkipReport,
    tmp_path: Path,
    name: str,
    file: str,
    image: dict[str, Any],
    segmentation: Any,
    category: Any,
    phrase: str,
    where: str,
) -> None:
    content = {
        'images': [{'id': 1, 'height': 4, 'width': 6, **image}],
        'annotations': [{'id': 7, 'image_id': 1, 'category_id': 1, 'segmentation': segmentation, 'bbox': [4, 0, 2, 4]}],
        'categories': [{'id': 1, 'name': category} if isinstance(category, str) else category],
    }
    save(file, content)
    (sample,) = read_categories(tmp_path, 'train', report, name=name)
    assert sample.image == tmp_path / where
    (annotation,) = sample.annotations
    assert annotation.phrase == phrase
    is_weak = name == 'objects365'
    assert annotation.box_only is is_weak
    columns = np.flatnonzero(decode_rle(annotation.masks[0]).any(axis=0)).tolist()
    assert columns == ([4, 5] if is_weak else [2] if segmentation is RLE else [0, 1])
    assert not report.errors


def test_objects365_with_masks_for_some_boxes(save: Callable[..., Path], report: SkipReport, tmp_path: Path) -> None:
    fields = {'image_id': 1, 'bbox': [4, 0, 2, 4]}
    annotations = [
        {'id': 1, 'category_id': 1, 'segmentation': RLE, **fields},
        {'id': 2, 'category_id': 2, 'segmentation': [], **fields},
    ]
    images = [{'id': 1, 'height': 4, 'width': 6, 'file_name': 'images/v2/patch0/objects365_v2_1.jpg'}]
    categories = [{'id': 1, 'name': 'Cup'}, {'id': 2, 'name': 'Pan'}]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    save('annotations/zhiyuan_objv2_train.json', content)
    (sample,) = read_categories(tmp_path, 'train', report, name='objects365')
    cup, pan = sample.annotations
    assert (cup.phrase, cup.masks, cup.box_only) == ('cup', (RLE,), False)
    assert (pan.phrase, pan.box_only) == ('pan', True)
