"""Image files by the names that annotation tools write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.coco import read_coco
from instructsam_training.datasets.io.image_files import ImageFolder
from tests.support.coco_content import LEFT, content, image_entry, instance


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> ImageFolder:
    for name in (
        '1.jpg',
        'a/2.jpg',
        'a/3.jpg',
        'b/3.jpg',
        'a/my cup.jpg',
        'x%20y.jpg',
        'ta\u0302che.jpg',
        'c/5.jpg',
        'c/5.JPG',
    ):
        save(f'images/{name}', 'image')
    return ImageFolder(tmp_path / 'images')


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('1.jpg', '1.jpg'),
        ('images/1.jpg', '1.jpg'),
        ('./a/2.jpg', 'a/2.jpg'),
        ('2.jpg', 'a/2.jpg'),
        ('a\\2.jpg', 'a/2.jpg'),
        ('C:\\Users\\me\\a\\2.jpg', 'a/2.jpg'),
        ('/home/me/b/3.jpg', 'b/3.jpg'),
        ('a/my%20cup.jpg', 'a/my cup.jpg'),
        ('https://host/data/a/my%20cup.jpg?token=1', 'a/my cup.jpg'),
        ('x%20y.jpg', 'x%20y.jpg'),
        ('A/My Cup.JPG', 'a/my cup.jpg'),
        ('t\u00e2che.jpg', 'ta\u0302che.jpg'),
        ('x/c/5.JPG', 'c/5.JPG'),
    ],
)
def test_names_as_tools_write_them(folder: ImageFolder, name: str, expected: str) -> None:
    assert folder.find_all([name]) == {name: folder.folder / expected}


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('4.jpg', 'or a folder in it, found no such file'),
        ('3.jpg', r'found .*a/3.jpg, .*b/3.jpg; is one of them meant\?'),
        ('c/3.jpg', 'is one of them meant'),
        ('c/2.jpg', r'found .*a/2.jpg; is one of them meant'),
        ('a', 'found no such file'),
        ('c/5.Jpg', 'is one of them meant'),
    ],
)
def test_names_without_a_sure_file(folder: ImageFolder, name: str, message: str) -> None:
    found = folder.find_all([name])[name]
    assert isinstance(found, ValueError)
    with pytest.raises(ValueError, match=message):
        raise found


def test_two_names_do_not_share_a_file(folder: ImageFolder) -> None:
    found = folder.find_all(['1.jpg', 'x/1.jpg', 'a\\2.jpg', 'https://host/a/2.jpg'])
    assert found['1.jpg'] == folder.folder / '1.jpg'
    assert [type(found[name]) for name in found] == [type(folder.folder), ValueError, ValueError, ValueError]
    assert "is that of '1.jpg' too" in str(found['x/1.jpg'])


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='expected the folder of the images'):
        ImageFolder(tmp_path / 'none')


def test_size_of_the_file_is_that_of_the_entry(
    save: Callable[..., Path],
    paint: Callable[..., Path],
    report: SkipReport,
    reasons: Callable[[], list[tuple[str, str, str]]],
) -> None:
    for number, size_hw in enumerate([(4, 6), (4, 6), (6, 4), (4, 6)], start=1):
        paint(f'{number:012}.jpg', size_hw)
    unstated = {'height': None, 'width': None}
    images = [image_entry(1), image_entry(2, **unstated), image_entry(3), image_entry(4, width=None), image_entry(5)]
    annotations = [instance(1, [LEFT], number, id=number) for number in range(1, 6)]
    samples = list(read_coco(save('all.json', content(images, annotations, 'cup')), report))
    assert [(sample.id, sample.size_hw) for sample in samples] == [('1', (4, 6)), ('2', (4, 6))]
    turned, halved, missing = [reason for _, _, reason in reasons()]
    assert 'expected 4x6 (height x width) as its entry states, the file is 6x4 after EXIF rotation' in turned
    assert turned.endswith('(with 1 annotations)')
    assert 'expected height and width of 1 to' in halved
    assert "image '000000000005.jpg': expected it in" in missing
    assert dict(report.notes) == {'images without height and width, taken from the file': 1}
