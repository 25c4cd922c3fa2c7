"""RoboRefIt in the layout of its release: Windows paths, masks as color images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.roborefit import normalize_question, read_roborefit

NAMES = ('roborefit_{}.json', 'refindoor_{}_with_scene.json')


def expression(number: int = 0, image: int = 0, split: str = 'train', **changes: Any) -> dict[str, Any]:
    folder = f'final_dataset\\{split}'
    return {
        'num': number,
        'text': 'pick up the red can',
        'bbox': [1, 1, 4, 3],
        'rgb_path': f'{folder}\\image\\{image:07}.png',
        'depth_path': f'{folder}\\depth\\{image:07}.png',
        'mask_path': f'{folder}\\mask\\{image:07}\\1.png',
        'scene': 'table',
        'class': 'can',
        **changes,
    }


def mask_image() -> np.ndarray:
    """Red, green and dark blue pixels: all of them are the target."""
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[1, 1] = 255, 0, 0
    pixels[1, 2] = 0, 200, 0
    pixels[2, 3] = 0, 0, 1
    return pixels


@pytest.fixture
def release(save: Callable[..., Path], paint: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write the release with two images and the given expressions."""

    def write(*expressions: Any, split: str = 'train', name: str = NAMES[0]) -> Path:
        for number in range(2):
            paint(f'final_dataset/{split}/image/{number:07}.png', (4, 6))
            paint(f'final_dataset/{split}/mask/{number:07}/1.png', mask_image())
            paint(f'final_dataset/{split}/depth/{number:07}.png', np.full((4, 6), 1200, dtype=np.uint16))
        save(f'final_dataset/{split}/{name.format(split)}', list(expressions))
        return tmp_path

    return write


@pytest.fixture
def read(report: SkipReport) -> Callable[..., list[Sample]]:
    return lambda root, split='train': list(read_roborefit(root, split, report))


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('split', ['train', 'testA', 'testB'])
@pytest.mark.parametrize('inside', [False, True])
def test_one_sample_per_image(
    release: Callable[..., Path],
    read: Callable[..., list[Sample]],
    report: SkipReport,
    name: str,
    split: str,
    inside: bool,
) -> None:
    root = release(
        expression(0, split=split),
        expression(1, image=1, split=split, scene='shelf'),
        expression(2, split=split, text='the can'),
        split=split,
        name=name,
    )
    first, second = read(root / 'final_dataset' if inside else root, split)
    assert first.image == root / 'final_dataset' / split / 'image' / '0000000.png'
    assert first.depth == root / 'final_dataset' / split / 'depth' / '0000000.png'
    assert (first.size_hw, first.id, first.scene, second.scene) == ((4, 6), '0000000', 'table', 'shelf')
    assert first.source.endswith(f'{name.format(split)}[0]')
    assert [(a.kind, a.text, a.phrase) for a in first.annotations] == [
        ('sentence', 'Pick up the red can.', 'can'),
        ('sentence', 'The can.', 'can'),
    ]
    mask = decode_rle(first.annotations[0].masks[0])
    np.testing.assert_array_equal(mask, mask_image().any(axis=2))
    assert not report.errors


def test_boxes_beyond_the_border_are_clipped(release: Callable[..., Path], read: Callable[..., list[Sample]]) -> None:
    (sample,) = read(release(expression(bbox=[-2, 1, 9.5, 3])))
    assert sample.annotations[0].box_xyxy == (0.0, 1.0, 6.0, 3.0)


@pytest.mark.parametrize(('changes', 'phrase'), [({'class': None}, 'red can on top'), ({'class': 3}, 'red can on top')])
def test_expression_is_the_phrase_if_there_is_no_class(
    release: Callable[..., Path], read: Callable[..., list[Sample]], changes: dict[str, Any], phrase: str
) -> None:
    (sample,) = read(release(expression(text='Red can on top.', **changes)))
    assert sample.annotations[0].phrase == phrase


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('pick up the can', 'Pick up the can.'),
        ('the can.', 'The can.'),
        (' Which one is red? ', 'Which one is red?'),
        ('can you give me the cup', 'Can you give me the cup?'),
        ('Could you pass it.', 'Could you pass it?'),
        ('would you mind', 'Would you mind?'),
        ('will this do?', 'Will this do?'),
        ('candles on the table', 'Candles on the table.'),
        ('Stop!', 'Stop!'),
    ],
)
def test_normalize_question(text: str, expected: str) -> None:
    assert normalize_question(text) == expected


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (expression(1, rgb_path=None), 'rgb_path'),
        ('can', 'rgb_path'),
        (expression(1, text=''), 'expected text in text'),
        (expression(1, bbox=[7, 1, 9, 3]), 'expected a part of the 6x4 image'),
        (expression(1, bbox=None), 'four numbers'),
        (expression(1, mask_path=None), 'expected text in mask_path'),
        (expression(1, mask_path='final_dataset\\train\\mask\\0000000\\9.png'), 'cannot read'),
        (expression(1, mask_path='final_dataset\\train\\mask\\small.png'), 'expected the size (4, 6)'),
        (expression(1, mask_path='final_dataset\\train\\mask\\empty.png'), 'at least one pixel'),
        (expression(1, mask_path='final_dataset\\train\\roborefit_train.json'), 'cannot read'),
        (expression(1, image=9), 'found no file'),
    ],
)
def test_invalid_expression_is_skipped_alone(
    release: Callable[..., Path],
    read: Callable[..., list[Sample]],
    paint: Callable[..., Path],
    report: SkipReport,
    bad: Any,
    message: str,
) -> None:
    paint('final_dataset/train/mask/small.png', np.full((2, 3, 3), 255, dtype=np.uint8))
    paint('final_dataset/train/mask/empty.png', (4, 6))
    (sample,) = read(release(expression(0), bad, expression(2)))
    assert len(sample.annotations) == 2
    assert [(error.file.name, error.index) for error in report.errors] == [('roborefit_train.json', 1)]
    assert message in report.errors[0].reason


def test_unusable_releases(
    release: Callable[..., Path], read: Callable[..., list[Sample]], save: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match='no such folder'):
        read(tmp_path / 'none')
    with pytest.raises(ConfigError, match='final_dataset/train or train'):
        read(tmp_path)
    root = release(name='other_{}.json')
    with pytest.raises(ConfigError, match=r'refindoor_train_with_scene\.json'):
        read(root)
    save('final_dataset/train/roborefit_train.json', '[{"num": 0,')
    with pytest.raises(ConfigError, match='only a part of it'):
        read(root)
    with pytest.raises(ConfigError, match='split: expected one of'):
        read(root, 'val')
