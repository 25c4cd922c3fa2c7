"""COCO files of users: ids that are repeated, ambiguous or texts, and files that cannot be used at all.

Covers instructsam_training.datasets.io.category_names
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.coco import read_coco
from instructsam_training.datasets.io.coco_file import parse_id
from tests.support.coco_content import LEFT, RIGHT, content, image_entry, instance

Read = Callable[..., dict[str, dict[str, int]]]


@pytest.fixture
def read(save: Callable[..., Path], paint: Callable[..., Path], report: SkipReport, tmp_path: Path) -> Read:
    """Read a file of the given content; return the number of masks by image and phrase. The images 1 to 3 exist."""
    for number in 1, 2, 3:
        paint(f'images/{number:012}.jpg', (4, 6))

    def samples(file: Any) -> dict[str, dict[str, int]]:
        read: list[Sample] = list(read_coco(save('all.json', file), report, tmp_path / 'images'))
        return {sample.id: {each.phrase: len(each.masks) for each in sample.annotations} for sample in read}

    return samples


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (12, 12),
        ('12', 12),
        (' 12 ', 12),
        (12.0, 12),
        ('0012', '0012'),
        ('a/b.jpg', 'a/b.jpg'),
        ('-1', '-1'),
        ('²', '²'),
    ],
)
def test_ids_have_one_form(value: Any, expected: Any) -> None:
    assert parse_id(value) == expected


@pytest.mark.parametrize('value', [None, True, '', ' ', 1.5, float('nan'), [1], {}])
def test_other_values_are_no_ids(value: Any) -> None:
    with pytest.raises(ValueError, match='expected an id'):
        parse_id(value)


def test_ids_may_be_texts_and_numbers(read: Read, report: SkipReport) -> None:
    images = [image_entry(1, id='1'), image_entry(2), image_entry(3, id='kitchen')]
    annotations = [
        instance('1', [LEFT], image_id=1, id='a'),
        instance(1.0, [RIGHT], image_id='1', id='b'),
        instance(1, [LEFT], image_id='2', id='c'),
        instance(1, [LEFT], image_id='kitchen', id='d'),
    ]
    assert read(content(images, annotations, 'cup')) == {'1': {'cup': 2}, '2': {'cup': 1}, 'kitchen': {'cup': 1}}
    assert (report.errors, dict(report.notes)) == ([], {})


def test_images_of_one_id_are_named_and_not_merged(
    read: Read, reasons: Callable[[], list[tuple[str, str, str]]]
) -> None:
    images = [image_entry(1), image_entry(1, file_name='other.jpg'), image_entry(2)]
    annotations = [instance(1, [LEFT], id=1), instance(1, [RIGHT], id=2), instance(1, [RIGHT], 2, id=3)]
    assert read(content(images, annotations, 'cup')) == {'2': {'cup': 1}}
    clash = "expected one image of the id 1, found 2: '000000000001.jpg', 'other.jpg'; renumber the images"
    lost = '2 annotations of an id that several images have'
    assert reasons() == [
        ('all.json', 'images.0', clash),
        ('all.json', 'images.1', clash),
        ('all.json', 'image 1', lost),
    ]


def test_copies_are_kept_once_and_counted(read: Read, report: SkipReport) -> None:
    images = [image_entry(1), image_entry(2), image_entry(1)]
    annotations = [instance(1, [LEFT], id=1), instance(1, [LEFT], id=1), instance(1, [LEFT], id=2)]
    assert read(content(images, [*annotations, instance(1, [LEFT], 2, id=3)], 'cup')) == {
        '1': {'cup': 1},
        '2': {'cup': 1},
    }
    assert report.errors == []
    assert dict(report.notes) == {
        'images listed twice, kept once': 1,
        'annotations listed twice, kept once': 1,
        'instances with the mask of another, kept once': 1,
    }


def test_annotations_that_share_an_id_are_both_kept(read: Read, report: SkipReport) -> None:
    annotations = [instance(1, [LEFT], id=1), instance(1, [RIGHT], id=1), instance(2, [RIGHT], 2, id=1)]
    images = [image_entry(1), image_entry(2)]
    assert read(content(images, annotations, 'cup', 'pan')) == {'1': {'cup': 2}, '2': {'pan': 1}}
    assert dict(report.notes) == {'annotations with the id of another, both kept': 2}
    assert report.examples == {'annotations with the id of another, both kept': 'annotations.1: id 1'}


def test_one_file_under_two_ids_is_counted(read: Read, report: SkipReport) -> None:
    images = [image_entry(1), image_entry(1, id=9)]
    read(content(images, [instance(1, [LEFT], id=1), instance(1, [RIGHT], 9, id=2)], 'cup'))
    assert dict(report.notes) == {'images under several ids, each kept with its own annotations': 2}


def test_names_of_categories(read: Read, report: SkipReport) -> None:
    cup, again = {'id': '1', 'name': 'Coffee_Cup'}, {'id': 2, 'name': 'coffee cup', 'supercategory': 'cups'}
    annotations = [instance(1, [LEFT], id=1), instance(2, [RIGHT], id=2)]
    assert read(content([image_entry()], annotations, cup, again)) == {'1': {'coffee cup': 2}}
    assert report.examples == {
        'categories with the spoken name of another, merged': 'coffee cup: 1, 2',
    }
    read(content([image_entry()], [instance(1, [LEFT])], 'Box/bag'))
    assert report.examples['categories with another spoken name'] == "'Box/bag': 'box or bag'"


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        ('[{"image_id": 1}]', 'an object with the lists images, annotations, categories; found a list'),
        ('"coco"', 'found a str'),
        ('[' * 100_000, 'expected JSON, found something else'),
        ('{"images": [{}], "info": {}}', 'lacks annotations, categories; found images, info'),
        ('{"images": [], "annotations": [], "categories": [], "images": []}', 'found images more than once'),
        (content([image_entry()], [], 'cup', {'id': 1, 'name': 'pan'}), "found 'cup' and 'pan'; renumber"),
        (content([image_entry()], [], {'id': 4, 'name': ' '}), 'the category with id 4 has none'),
        (content([image_entry()], [], {'id': 4}), 'the category with id 4 has none'),
        (content([image_entry()], [], {'name': 'cup'}), r'categories.0: expected an id'),
        (content([image_entry()], [], ['cup']), r'categories.0: expected an object'),
        (content([image_entry()], [instance(1, [])], 'cup'), 'found 1 without, 1 with a bbox; export polygons'),
    ],
)
def test_unusable_files(read: Read, file: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read(file)
    assert 'all.json' in str(error.value)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_files_with_a_byte_order_mark(tmp_path: Path, read: Read, report: SkipReport, encoding: str) -> None:
    file = tmp_path / 'bom.json'
    file.write_text(json.dumps(content([image_entry()], [instance(1, [LEFT])], 'tâche'), ensure_ascii=False), encoding)
    (sample,) = read_coco(file, report, tmp_path / 'images')
    assert sample.annotations[0].phrase == 'tâche'
