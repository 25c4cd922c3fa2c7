"""Held-out images of the RefCOCO evaluation splits."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import Sample, named
from instructsam_training.datasets.io.leakage import coco_id, read_held_out


def ref(image_id: int, split: str) -> dict[str, object]:
    return {'ref_id': image_id, 'image_id': image_id, 'split': split}


def sample(image: str) -> Sample:
    return Sample(Path(image), (4, 6), (named('mug'),))


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('coco/train2017/000000000009.jpg', 9),
        ('COCO_train2014_000000581857.jpg', 581857),
        ('objects365_v2_01808559.jpg', None),
        ('000cd456-ff8d-499b-b0c1-4acead128a8b_000024.jpeg', None),
        ('n01440764_10029.JPEG', None),
        ('1234000000000009.jpg', None),
    ],
)
def test_coco_id_is_parsed_from_the_file_name(name: str, expected: int | None) -> None:
    assert coco_id(Path(name)) == expected


def test_images_of_validation_and_test_are_dropped(save: Callable[..., Path], tmp_path: Path) -> None:
    save('refcoco/refs(unc).json', [ref(1, 'train'), ref(2, 'val'), ref(3, 'testA')])
    (tmp_path / 'refcocog').mkdir()
    (tmp_path / 'refcocog' / 'refs(umd).p').write_bytes(pickle.dumps([ref(4, 'test'), ref(5, 'train')], protocol=2))
    save('grefcoco/grefs(unc).json', [ref(1, 'testB'), ref(6, 'train')])
    held_out = read_held_out(tmp_path)
    assert held_out.ids == {1, 2, 3, 4}
    names = [f'train2017/{number:012}.jpg' for number in range(1, 7)] + ['objects365_v2_00000001.jpg']
    kept = [one.image.as_posix() for one in held_out.filter(map(sample, names))]
    assert kept == [names[4], names[5], names[6]]
    assert held_out.dropped == 4


@pytest.mark.parametrize('refs', [[{'image_id': 3}], ['a'], [ref(1, 'val'), {'split': 'val'}]])
def test_damaged_references_are_an_error(save: Callable[..., Path], tmp_path: Path, refs: list[object]) -> None:
    save('refcoco/refs(unc).json', refs)
    with pytest.raises(ConfigError, match='image_id and split'):
        read_held_out(tmp_path)


def test_folder_without_references_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='expected one of refcoco/'):
        read_held_out(tmp_path)
