"""COCO, LVIS, PACO, Pascal-Part, PartImageNet and Objects365: one reader, the exact layout of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.datasets.coco import CATEGORY_SETS, read_categories
from instructsam_training.sample import Sample, SkipReport

LEFT, RIGHT = [0, 0, 2, 0, 2, 4, 0, 4], [4, 0, 6, 0, 6, 4, 4, 4]
PART = np.zeros((4, 6), dtype=bool)
PART[1:3, 2] = True
RLE = encode_rle(PART)


def instance(category: Any, segmentation: Any, image_id: Any = 1, **changes: Any) -> dict[str, Any]:
    fields = {'id': 7, 'image_id': image_id, 'category_id': category, 'segmentation': segmentation, 'iscrowd': 0}
    return {**fields, 'bbox': [4, 0, 2, 4], **changes}


def content(images: list[Any], annotations: list[Any], *categories: Any) -> dict[str, Any]:
    named = [{'id': i, 'name': c} if isinstance(c, str) else c for i, c in enumerate(categories, start=1)]
    return {'info': {}, 'images': images, 'annotations': annotations, 'categories': named}


def picture(image_id: int = 1, **changes: Any) -> dict[str, Any]:
    return {'id': image_id, 'file_name': f'{image_id:012}.jpg', 'height': 4, 'width': 6, **changes}


@pytest.fixture
def read(tmp_path: Path, report: SkipReport) -> Callable[..., list[Sample]]:
    return lambda name='coco', **options: list(
        read_categories(tmp_path, options.pop('split', 'train'), report, name=name, **options)
    )


COCO = 'annotations/instances_train2017.json'


def test_one_name_a_category_and_one_mask_an_instance(
    save: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport, tmp_path: Path
) -> None:
    annotations = [
        instance(1, [LEFT]),
        instance(2, {'size': [4, 6], 'counts': [0, 24]}, iscrowd=1),
        instance(1, [RIGHT]),
        instance(2, [LEFT, RIGHT], image_id=3),
    ]
    images = [picture(), picture(2), picture(3)]
    save(COCO, content(images, annotations, 'person', 'dining table'))
    first, third = read()
    assert first.image == tmp_path / 'train2017' / '000000000001.jpg'
    assert (first.size_hw, first.id, first.several_at_once) == ((4, 6), '1', True)
    assert first.source == f'{tmp_path / COCO}[0]'
    (person,) = first.annotations
    assert (person.kind, person.text, person.phrase, person.weak) == ('phrase', 'person', 'person', False)
    assert [np.flatnonzero(decode_rle(rle)[0]).tolist() for rle in person.masks] == [[0, 1], [4, 5]]
    assert [(a.phrase, len(a.masks)) for a in third.annotations] == [('dining table', 1)]
    assert not report.errors


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
def test_layout_and_names_of_each(
    save: Callable[..., Path],
    read: Callable[..., list[Sample]],
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
    without_name = {key: value for key, value in picture().items() if key != 'file_name'}
    save(file, content([{**without_name, **image}], [instance(1, segmentation)], category))
    (sample,) = read(name)
    assert sample.image == tmp_path / where
    (annotation,) = sample.annotations
    assert annotation.phrase == phrase
    is_weak = name == 'objects365'
    assert annotation.weak is is_weak
    columns = np.flatnonzero(decode_rle(annotation.masks[0]).any(axis=0)).tolist()
    assert columns == ([4, 5] if is_weak else [2] if segmentation is RLE else [0, 1])
    assert not report.errors


def test_every_layout_is_tried(tmp_path: Path) -> None:
    tried = {
        ('lvis', 'lvis_v1_train.json'),
        ('lvis', 'annotations/lvis_v1_train.json'),
        ('partimagenet', 'train.json'),
    }
    known = {(name, file.format(split='train')) for name, kind in CATEGORY_SETS.items() for file, _ in kind.layouts}
    assert tried <= known


def test_pictures_elsewhere(save: Callable[..., Path], read: Callable[..., list[Sample]], tmp_path: Path) -> None:
    save(COCO, content([picture()], [instance(1, [LEFT])], 'person'))
    (sample,) = read(images=tmp_path / 'disk')
    assert sample.image == tmp_path / 'disk' / 'train2017' / '000000000001.jpg'


def test_absent_and_incomplete_categories(
    save: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport
) -> None:
    image = picture(neg_category_ids=[2, 4, 5], not_exhaustive_category_ids=[3])
    annotations = [instance(1, [LEFT]), instance(3, [LEFT]), instance(4, [RIGHT])]
    categories = 'cup', 'egg_yolk', 'grape', 'bow_(weapon)', 'bow_(decorative_ribbons)'
    save('lvis_v1_train.json', content([image], annotations, *categories))
    (sample,) = read('lvis')
    # A picture with one kind of bow is not one without a bow.
    assert [(a.phrase, len(a.masks)) for a in sample.annotations] == [('cup', 1), ('bow', 1), ('egg yolk', 0)]
    assert not any(annotation.weak for annotation in sample.annotations)
    assert not report.errors


def test_categories_of_one_name_are_one(save: Callable[..., Path], read: Callable[..., list[Sample]]) -> None:
    annotations = [instance(1, [LEFT]), instance(2, [RIGHT])]
    save('lvis_v1_train.json', content([picture()], annotations, 'bow_(weapon)', 'bow_(decorative_ribbons)'))
    (sample,) = read('lvis')
    assert [(a.phrase, len(a.masks)) for a in sample.annotations] == [('bow', 2)]


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (instance(2, [[0, 0, 1]]), "annotation 7 of 'dog': polygons: expected one of at least three points"),
        (instance(2, []), 'at least three points'),
        (instance(2, {'size': [4, 6], 'counts': 'P`'}), 'RLE counts'),
        (instance(2, {'size': [6, 4], 'counts': [24]}), 'size of the picture'),
        (instance(2, {'size': [4, 6], 'counts': [24]}), 'at least one pixel'),
    ],
)
def test_category_with_a_bad_instance_is_left_out_whole(
    save: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    bad: dict[str, Any],
    message: str,
) -> None:
    annotations = [instance(1, [LEFT]), instance(2, [RIGHT]), bad]
    file = save(COCO, content([picture()], annotations, 'person', 'dog'))
    (sample,) = read()
    assert [annotation.phrase for annotation in sample.annotations] == ['person']
    assert [(error.file, error.index) for error in report.errors] == [(file, 'images.0')]
    assert message in report.errors[0].reason


@pytest.mark.parametrize(
    ('images', 'annotations', 'index', 'message'),
    [
        ([picture(2, height=None)], [], 'images.1', 'height and width'),
        ([picture(2, file_name=None)], [], 'images.1', 'expected text in file_name or coco_url'),
        ([{'id': 'two'}], [], 'images.1', 'expected a picture with an id'),
        (['two'], [], 'images.1', 'expected a picture with an id'),
        ([], [instance(1, [LEFT], image_id=404)], 'image 404', '1 annotations of a picture that is not in images'),
        ([], [instance(1, [LEFT], image_id=None)], 'annotations.1', 'expected an annotation with image_id'),
        ([], ['nothing'], 'annotations.1', 'expected an annotation with image_id'),
        ([], [instance(99, [LEFT])], 'images.0', 'expected a known category, got 99'),
        ([], [instance([1], [LEFT])], 'images.0', 'expected a known category'),
    ],
)
def test_what_cannot_be_read_is_skipped_alone(
    save: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    images: list[Any],
    annotations: list[Any],
    index: str,
    message: str,
) -> None:
    save(COCO, content([picture(), *images], [instance(1, [LEFT]), *annotations], 'person'))
    samples = read()
    assert samples[0].id == '1'
    assert samples[0].annotations[0].phrase == 'person'
    assert [str(error.index) for error in report.errors] == [index]
    assert message in report.errors[0].reason


def test_boxes_outside_the_picture(
    save: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport
) -> None:
    annotations = [instance(1, None, bbox=[5, 3, 9, 9]), instance(2, None, bbox=[9, 9, 1, 1])]
    save('zhiyuan_objv2_train.json', content([picture()], annotations, 'Person', 'Dog'))
    (sample,) = read('objects365')
    assert [a.phrase for a in sample.annotations] == ['person']
    assert decode_rle(sample.annotations[0].masks[0]).sum() == 1
    assert 'expected a part of the 6x4 picture' in report.errors[0].reason


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"images": [{', 'only a part of it'),
        ('[]', 'expected a COCO file'),
        ('{"images": [], "annotations": []}', 'lacks categories'),
        ('{"images": [], "annotations": [], "categories": []}', 'found an empty list'),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1}]}', 'expected categories with id and name'),
        ('{"images": [{}], "annotations": [], "categories": ["cup"]}', 'expected categories with id and name'),
    ],
)
def test_files_that_cannot_be_used(
    save: Callable[..., Path], read: Callable[..., list[Sample]], text: str, message: str
) -> None:
    file = save(COCO, text)
    with pytest.raises(ConfigError, match=message) as error:
        read()
    assert str(file) in str(error.value)


def test_missing_file(read: Callable[..., list[Sample]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='found no such file') as error:
        read('partimagenet', split='val')
    assert str(tmp_path / 'annotations/val/val.json') in str(error.value)
