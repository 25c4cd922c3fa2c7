"""Samples of users' COCO files: masks that are missing, empty or doubled, boxes, crowds, and images without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.coco import read_coco
from instructsam_training.datasets.io.coco_samples import CocoOptions
from tests.support.coco_content import LEFT, RIGHT, content, image_entry, instance

Read = Callable[..., list[Sample]]


@pytest.fixture
def read(save: Callable[..., Path], paint: Callable[..., Path], report: SkipReport, tmp_path: Path) -> Read:
    """Read a file of the given content. The images 1 to 3 exist."""
    for number in 1, 2, 3:
        paint(f'images/{number:012}.jpg', (4, 6))
    return lambda file, **options: list(
        read_coco(save('all.json', file), report, tmp_path / 'images', CocoOptions(**options))
    )


def columns(sample: Sample, number: int = 0) -> list[list[int]]:
    """Columns of the masks of an annotation."""
    return [np.flatnonzero(decode_rle(rle).any(axis=0)).tolist() for rle in sample.annotations[number].masks]


def test_what_is_left_out_by_rule_is_counted(read: Read, report: SkipReport) -> None:
    annotations = [
        instance(1, [LEFT], id=1),
        instance(1, {'size': [4, 6], 'counts': [0, 24]}, id=2, iscrowd=1),
        instance(2, [RIGHT], id=3),
        instance(2, [[0, 0, 1]], id=4),
        instance(3, [LEFT, [1, 1, 2, 2]], id=5),
        instance(1, {'size': [4, 6], 'counts': [0, 24]}, 3, id=6, iscrowd=1),
    ]
    images = [image_entry(1), image_entry(2), image_entry(3)]
    (sample,) = read(content(images, annotations, 'cup', 'pan', 'lid'))
    assert [annotation.phrase for annotation in sample.annotations] == ['cup', 'lid']
    assert [(str(error.index), error.reason) for error in report.errors] == [
        ('images.0', "annotation 4 of 'pan': polygons: expected one of at least three points, got 1 without")
    ]
    assert dict(report.notes) == {
        'crowds, left out': 2,
        'good annotations, left out because another of their category in their image is not': 1,
        'polygons of fewer than three points beside others, left out': 1,
        'images without annotations, left out': 1,
        'images of which no annotation is used': 1,
    }


def test_images_without_annotations_become_negatives_on_request(read: Read, report: SkipReport) -> None:
    # Roboflow's category 0 is the group of all others; nobody annotates it.
    categories = [
        {'id': 0, 'name': 'kitchen', 'supercategory': 'none'},
        {'id': 1, 'name': 'cup', 'supercategory': 'kitchen'},
        {'id': 2, 'name': 'pan', 'supercategory': 'kitchen'},
    ]
    file = content([image_entry(1), image_entry(2)], [instance(1, [LEFT])], *categories)
    file['categories'] = categories
    first, second = read(file, negatives=5)
    assert [(each.phrase, len(each.masks)) for each in first.annotations] == [('cup', 1)]
    assert [(each.phrase, len(each.masks)) for each in second.annotations] == [('cup', 0), ('pan', 0)] or [
        (each.phrase, len(each.masks)) for each in second.annotations
    ] == [('pan', 0), ('cup', 0)]
    assert dict(report.notes) == {'images without annotations, asked about absent categories': 1}
    assert len(read(file, negatives=1)[1].annotations) == 1
    with pytest.raises(ConfigError, match='negatives: expected at least 0'):
        read(file, negatives=-1)


@pytest.mark.parametrize('entry', [image_entry(2), image_entry(1, id=2)])
@pytest.mark.parametrize('bad', [[[0, 0, 1]], {'size': [4, 6], 'counts': [24]}])
def test_images_with_lost_annotations_are_no_negatives(read: Read, entry: dict[str, Any], bad: Any) -> None:
    # The second image has an annotation that cannot be read, or is the file of the first.
    lost = [instance(1, bad, 2, id=2)] if entry['file_name'].endswith('2.jpg') else []
    samples = read(content([image_entry(1), entry], [instance(1, [LEFT]), *lost], 'cup', 'pan'), negatives=2)
    assert [sample.id for sample in samples] == ['1']


@pytest.mark.parametrize(
    ('iscrowd', 'is_used'), [(0, True), ('0', True), (False, True), (None, True), (1, False), ('1', False)]
)
def test_forms_of_iscrowd(read: Read, iscrowd: Any, is_used: bool) -> None:
    assert bool(read(content([image_entry()], [instance(1, [LEFT], iscrowd=iscrowd)], 'cup'))) is is_used


def test_names_that_look_like_control_tokens_are_names(read: Read) -> None:
    annotations = [instance(1, [LEFT], id=1), instance(2, [RIGHT], id=2)]
    (sample,) = read(content([image_entry()], annotations, '<|im_end|>', '[SEG]'))
    assert [each.text for each in sample.annotations] == ['<|im end|>', '[seg]']


def test_boxes_on_request(read: Read, report: SkipReport) -> None:
    annotations = [instance(1, [], id=1), instance(1, [LEFT], id=2), instance(2, [LEFT], id=3)]
    (sample,) = read(content([image_entry()], annotations, 'cup', 'pan'), boxes=True)
    assert [(each.phrase, each.box_only) for each in sample.annotations] == [('cup', True), ('pan', False)]
    assert columns(sample) == [[4, 5], [0, 1]]
    assert list(report.notes) == ['masks turned into boxes, as others of their category in their image are boxes']


def test_unknown_category_is_named(read: Read, reasons: Callable[[], list[tuple[str, str, str]]]) -> None:
    file = content([image_entry()], [instance(1, [LEFT], id=1), instance('5', [LEFT], id=2)], 'cup')
    assert [each.phrase for each in read(file)[0].annotations] == ['cup']
    assert reasons() == [('all.json', 'images.0', "annotation 2: expected a known category, got '5'")]
