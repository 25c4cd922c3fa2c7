"""COCO-like data sets: categories, instances and invalid files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.coco import read_categories
from tests.support.coco_content import LEFT, RIGHT, content, image_entry, instance


@pytest.fixture
def read(tmp_path: Path, report: SkipReport) -> Callable[..., list[Sample]]:
    return lambda name='coco', **options: list(
        read_categories(tmp_path, options.pop('split', 'train'), report, name=name, **options)
    )


COCO = 'annotations/instances_train2017.json'


def test_one_annotation_per_category_and_one_mask_per_instance(
    save: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport, tmp_path: Path
) -> None:
    annotations = [
        instance(1, [LEFT]),
        instance(2, {'size': [4, 6], 'counts': [0, 24]}, iscrowd=1),
        instance(1, [RIGHT]),
        instance(2, [LEFT, RIGHT], image_id=3),
    ]
    images = [image_entry(), image_entry(2), image_entry(3)]
    save(COCO, content(images, annotations, 'person', 'dining table'))
    first, third = read()
    assert first.image == tmp_path / 'train2017' / '000000000001.jpg'
    assert (first.size_hw, first.id, first.allow_multi_phrase) == ((4, 6), '1', True)
    assert first.source == f'{tmp_path / COCO}[0]'
    (person,) = first.annotations
    assert (person.kind, person.text, person.phrase, person.box_only) == ('phrase', 'person', 'person', False)
    assert [np.flatnonzero(decode_rle(rle)[0]).tolist() for rle in person.masks] == [[0, 1], [4, 5]]
    assert [(a.phrase, len(a.masks)) for a in third.annotations] == [('dining table', 1)]
    assert not report.errors


def test_images_in_another_folder(save: Callable[..., Path], read: Callable[..., list[Sample]], tmp_path: Path) -> None:
    save(COCO, content([image_entry()], [instance(1, [LEFT])], 'person'))
    (sample,) = read(images=tmp_path / 'disk')
    assert sample.image == tmp_path / 'disk' / 'train2017' / '000000000001.jpg'


def test_absent_and_incomplete_categories(
    save: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport
) -> None:
    entry = image_entry(neg_category_ids=[2, 4, 5], not_exhaustive_category_ids=[3])
    annotations = [instance(1, [LEFT]), instance(3, [LEFT]), instance(4, [RIGHT])]
    categories = 'cup', 'egg_yolk', 'grape', 'bow_(weapon)', 'bow_(decorative_ribbons)'
    save('lvis_v1_train.json', content([entry], annotations, *categories))
    (sample,) = read('lvis')
    # An image with one kind of bow is not one without a bow.
    assert [(a.phrase, len(a.masks)) for a in sample.annotations] == [('cup', 1), ('bow', 1), ('egg yolk', 0)]
    assert not any(annotation.box_only for annotation in sample.annotations)
    assert not report.errors


def test_categories_of_the_same_name_are_merged(save: Callable[..., Path], read: Callable[..., list[Sample]]) -> None:
    annotations = [instance(1, [LEFT]), instance(2, [RIGHT])]
    save('lvis_v1_train.json', content([image_entry()], annotations, 'bow_(weapon)', 'bow_(decorative_ribbons)'))
    (sample,) = read('lvis')
    assert [(a.phrase, len(a.masks)) for a in sample.annotations] == [('bow', 2)]


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (instance(2, [[0, 0, 1]]), "annotation 7 of 'dog': polygons: expected one of at least three points"),
        (instance(2, [], bbox=None), 'segmentation: expected a mask, found none'),
        (instance(2, []), 'expected a mask, found only bbox; --boxes trains on filled boxes'),
        (instance(2, None, bbox=None, keypoints=[1, 1, 2]), 'found only keypoints'),
        (instance(2, [[0, 0, 2, 0, 2, 4, 0]]), 'polygon: expected at least three points'),
        (instance(2, [[0, 0, 2, 0, 2, float('nan')]]), 'polygon: expected at least three points'),
        (instance(2, {'size': [4, 6], 'counts': 'P`'}), 'RLE counts'),
        (instance(2, {'size': [6, 4], 'counts': [24]}), 'RLE size: expected the size of the'),
        (instance(2, {'size': [4, 6], 'counts': [24]}), 'at least one pixel'),
    ],
)
def test_category_with_an_invalid_instance_is_left_out(
    save: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    bad: dict[str, Any],
    message: str,
) -> None:
    annotations = [instance(1, [LEFT]), instance(2, [RIGHT]), bad]
    file = save(COCO, content([image_entry()], annotations, 'person', 'dog'))
    (sample,) = read()
    assert [annotation.phrase for annotation in sample.annotations] == ['person']
    assert [(error.file, error.index) for error in report.errors] == [(file, 'images.0')]
    assert message in report.errors[0].reason


@pytest.mark.parametrize(
    ('images', 'annotations', 'index', 'message'),
    [
        ([image_entry(2, height=None)], [instance(1, [LEFT], image_id=2)], 'images.1', 'height and width'),
        ([image_entry(2, file_name=None)], [], 'images.1', 'expected text in file_name or coco_url'),
        ([{'id': 'two'}], [], 'images.1', 'expected text in file_name'),
        ([{'id': None}], [], 'images.1', 'expected an image with an id'),
        ([{'id': True}], [], 'images.1', 'expected an image with an id'),
        (['two'], [], 'images.1', 'expected an image with an id'),
        ([], [instance(1, [LEFT], image_id=404)], 'image 404', '1 annotations of an image that is not in images'),
        ([], [instance(1, [LEFT], image_id=None)], 'annotations.1', 'expected an annotation with image_id'),
        ([], ['nothing'], 'annotations.1', 'expected an annotation with image_id'),
        ([], [instance(99, [LEFT])], 'images.0', 'expected a known category, got 99'),
        ([], [instance([1], [LEFT])], 'images.0', 'expected a known category'),
    ],
)
def test_invalid_entry_is_skipped_alone(
    save: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    images: list[Any],
    annotations: list[Any],
    index: str,
    message: str,
) -> None:
    save(COCO, content([image_entry(), *images], [instance(1, [LEFT]), *annotations], 'person'))
    samples = read()
    assert samples[0].id == '1'
    assert samples[0].annotations[0].phrase == 'person'
    assert [str(error.index) for error in report.errors] == [index]
    assert message in report.errors[0].reason


def test_boxes_outside_the_image(
    save: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport
) -> None:
    annotations = [instance(1, None, bbox=[5, 3, 9, 9]), instance(2, None, bbox=[9, 9, 1, 1])]
    save('zhiyuan_objv2_train.json', content([image_entry()], annotations, 'Person', 'Dog'))
    (sample,) = read('objects365')
    assert [a.phrase for a in sample.annotations] == ['person']
    assert decode_rle(sample.annotations[0].masks[0]).sum() == 1
    assert 'expected a part of the 6x4 image' in report.errors[0].reason


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"images": [{', 'only a part of it'),
        ('[]', 'expected a COCO file'),
        ('{"images": [], "annotations": []}', 'lacks categories'),
        ('{"images": [], "annotations": [], "categories": []}', 'found an empty list'),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1}]}', 'expected categories with id and name'),
        ('{"images": [{}], "annotations": [], "categories": ["cup"]}', 'expected categories with id and name'),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1, "name": "_(x)"}]}', 'expected a name, got'),
    ],
)
def test_unusable_files(save: Callable[..., Path], read: Callable[..., list[Sample]], text: str, message: str) -> None:
    file = save(COCO, text)
    with pytest.raises(ConfigError, match=message) as error:
        read()
    assert str(file) in str(error.value)


def test_missing_file(read: Callable[..., list[Sample]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='found no such file') as error:
        read('partimagenet', split='val')
    assert str(tmp_path / 'annotations/val/val.json') in str(error.value)
