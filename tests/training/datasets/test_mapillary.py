"""Mapillary Vistas: instances, panoptic segments, and what is wrong in a copy of the release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.mapillary import read_mapillary, spoken

LABELS = [
    {'name': 'object--vehicle--car', 'readable': 'Car', 'instances': True},
    {'name': 'construction--flat--road', 'readable': 'Road', 'instances': False},
    {'name': 'object--traffic-sign--front', 'readable': 'Traffic Sign (Front)', 'instances': True},
    {'name': 'void--ego-vehicle', 'readable': 'Ego Vehicle', 'instances': False},
]
CAR, ROAD, VOID = 0, 256, 3 * 256
CODES = np.array([[CAR + 1, CAR + 1, CAR + 2], [ROAD, VOID, ROAD + 1]], dtype=np.uint16)


def masks(sample: Sample) -> dict[str, list[list[int]]]:
    """Pixels of each mask, in row order."""
    return {
        annotation.phrase: [np.flatnonzero(decode_rle(rle)).tolist() for rle in annotation.masks]
        for annotation in sample.annotations
    }


@pytest.fixture
def read(tmp_path: Path, report: SkipReport) -> Callable[..., list[Sample]]:
    return lambda split='train', **options: list(read_mapillary(tmp_path, split, report, **options))


@pytest.mark.parametrize(
    ('version', 'config'), [('v2.0/', 'config_v2.0.json'), ('v1.2/', 'config_v1.2.json'), ('', 'config.json')]
)
def test_instances_of_each_version(
    save: Callable[..., Path],
    paint: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    version: str,
    config: str,
) -> None:
    save(config, {'labels': LABELS})
    image = paint('training/images/a-b_1.jpg', (2, 3))
    paint(f'training/{version}instances/a-b_1.png', CODES)
    (sample,) = read()
    assert (sample.image, sample.size_hw, sample.id, sample.allow_multi_phrase) == (image, (2, 3), 'a-b_1', True)
    # Stuff has one mask, whatever the instance says.
    assert masks(sample) == {'car': [[0, 1], [2]], 'road': [[3, 5]]}
    assert not report.errors


def test_panoptic_segments(
    save: Callable[..., Path], paint: Callable[..., Path], read: Callable[..., list[Sample]], report: SkipReport
) -> None:
    for name in 'abc':
        paint(f'validation/images/{name}.jpg', (2, 3))
    colors = np.zeros((2, 3, 3), dtype=np.uint8)
    colors[..., 0], colors[..., 1] = [[1, 1, 2], [3, 0, 3]], [[0, 0, 0], [1, 0, 1]]
    for name in 'abc':
        paint(f'validation/v2.0/panoptic/{name}.png', colors)
    segments = [
        {'id': 1, 'category_id': 1, 'iscrowd': 0},
        {'id': 2, 'category_id': 1, 'iscrowd': 1},
        {'id': 259, 'category_id': 2, 'iscrowd': 0},
    ]
    categories = [
        {'id': 1, 'name': 'object--vehicle--car', 'isthing': 1},
        {'id': 2, 'name': 'construction--flat--bike-lane', 'isthing': 0},
    ]
    lost = {'file_name': 'lost.png', 'segments_info': []}
    unknown = {'file_name': 'b.png', 'segments_info': [*segments[:2], {**segments[2], 'category_id': 9}]}
    annotations = [{'file_name': 'a.png', 'segments_info': segments}, lost, unknown, {'file_name': 'c.png'}]
    save(
        'validation/v2.0/panoptic/panoptic_2020.json',
        {'images': [], 'annotations': annotations, 'categories': categories},
    )
    (sample,) = read('val')
    assert masks(sample) == {'car': [[0, 1]], 'bike lane': [[3, 5]]}
    assert report.notes == {'crowds, left out': 1}
    assert [str(error.index) for error in report.errors] == ['annotations.1', 'annotations.2', 'annotations.3']
    assert "expected ids of categories of the file, got ['9']" in report.errors[1].reason
    assert report.errors[2].reason == "lacks 'segments_info'"


def test_images_that_cannot_be_used_are_named(
    save: Callable[..., Path],
    paint: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    reasons: Callable[[], list[tuple[str, str, str]]],
) -> None:
    save('config_v2.0.json', {'labels': LABELS})
    for name, size_hw in {
        'good': (2, 3),
        'turned': (3, 2),
        'unknown': (2, 3),
        'unlabeled': (2, 3),
        'void': (1, 1),
    }.items():
        paint(f'training/images/{name}.jpg', size_hw)
    for name, codes in {'good': CODES, 'turned': CODES, 'unknown': CODES + 4 * 256, 'no_image': CODES}.items():
        paint(f'training/v2.0/instances/{name}.png', codes)
    paint('training/v2.0/instances/void.png', np.array([[VOID]], dtype=np.uint16))
    (sample,) = read()
    assert sample.id == 'good'
    found = {name: reason for name, _, reason in reasons()}
    assert 'expected an image' in found['no_image.png']
    assert 'expected the size (3, 2) of the image, got (2, 3)' in found['turned.png']
    assert 'expected labels below 4' in found['unknown.png']
    assert 'expected the label image unlabeled.png' in found['unlabeled.jpg']
    assert report.notes == {'images with void labels only, left out': 1}


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({}, 'expected it to hold training or train'),
        ({'training/images/a.jpg': ''}, 'expected one of v2.0/instances, v1.2/instances, instances, v2.0/panoptic'),
        ({'training/instances/a.png': ''}, 'expected it to hold config.json'),
        ({'training/instances/a.png': '', 'config.json': {'labels': []}}, 'expected labels, found none'),
        ({'training/instances/a.png': '', 'config.json': {'labels': [{'id': 1}]}}, 'expected text in name'),
        ({'training/instances/a.txt': '', 'config.json': {'labels': LABELS}}, 'expected label images'),
    ],
)
def test_incomplete_releases(
    save: Callable[..., Path], read: Callable[..., list[Sample]], files: dict[str, Any], message: str
) -> None:
    for name, content in files.items():
        save(name, content)
    with pytest.raises(ConfigError, match=message):
        read()


def test_unknown_split(read: Callable[..., list[Sample]]) -> None:
    with pytest.raises(ConfigError, match='split: expected one of train, val'):
        read('testing')


@pytest.mark.parametrize(
    ('readable', 'expected'),
    [('Traffic Sign (Front)', 'traffic sign front'), ('Lane Marking - Crosswalk', 'lane marking crosswalk')],
)
def test_spoken_names(readable: str, expected: str) -> None:
    assert spoken(readable) == expected
