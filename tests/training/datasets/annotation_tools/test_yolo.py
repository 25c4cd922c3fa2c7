"""YOLO exports: every instance has its mask, and every line that is dropped is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from tests.support.own_conversion import PHOTOS, check_masks, convert
from tests.support.own_exports import export_yolo


def test_yolo(tmp_path: Path) -> None:
    data = export_yolo(tmp_path / 'export', {'train': PHOTOS[:1], 'valid': [PHOTOS[0]]})
    for source, split in ((data, 'train'), (data.parent, 'val')):
        found, report = convert('yolo', source, tmp_path, split)
        check_masks(found, PHOTOS[:1], 0.7)
        assert not report.errors
    with pytest.raises(ConfigError, match='expected the split test, it has train, val'):
        convert('yolo', data, tmp_path, 'test')


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
        ('train: images.zip\nnames: [a]', 'images.zip: expected a folder of images or a text file'),
        ('- a', 'expected the keys train, val and names'),
        ('names: [', 'expected YAML'),
    ],
)
def test_wrong_data_yaml(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'data.yaml').write_text(text)
    (tmp_path / 'images.zip').write_bytes(b'PK\x03\x04\xff')
    with pytest.raises(ConfigError, match=said):
        convert('yolo', tmp_path, tmp_path, 'train')
