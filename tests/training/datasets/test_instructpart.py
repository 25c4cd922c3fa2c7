import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.instructpart import read_instructpart

TEXTS = [
    'How would you lift it?',
    'Where should a hand go to raise this?',
    'Show the handle of the coffee cup.',
    'Show the handle of the coffee cup that can be held.',
    'handle of the coffee cup',
    'handle of the coffee cup that can be held',
]
PART = {'object': 'coffee cup', 'part': 'handle', 'affordance': 'hold', 'action': 'lift', 'instruction': TEXTS}


@pytest.fixture
def release(tmp_path):
    def write(*parts: dict, mask: np.ndarray | None = None, suffix: str = '.png') -> Path:
        folder = tmp_path / 'InstructPart/train/train1800'
        for name in ('images', 'masks'):
            (folder / name).mkdir(parents=True)
        values = np.zeros((4, 6), np.uint8)
        values[1:3, 2:4] = 1
        Image.new('RGB', (6, 4)).save(folder / 'images/a-coffee_cup-handle.jpg')
        Image.fromarray(values if mask is None else mask).save(folder / f'masks/a-coffee_cup-handle{suffix}')
        entries = [{'image_path': 'a.jpg', 'part_list': list(parts)}]
        (folder / 'data_train.json').write_text(json.dumps(entries))
        return tmp_path

    return write


def test_each_part_is_a_sample_with_texts_of_three_levels(release):
    root, report = release(PART), SkipReport()
    (sample,) = read_instructpart(root, 'train', report)
    assert not report.errors
    assert sample.image == root / 'InstructPart/train/train1800/images/a-coffee_cup-handle.jpg'
    levels = [(annotation.level, annotation.text) for annotation in sample.annotations]
    wanted = ('complex', 'complex', 'simple', 'simple', 'concept', 'simple')
    assert levels == list(zip(wanted, TEXTS, strict=True))
    assert {annotation.phrase for annotation in sample.annotations} == {TEXTS[4]}
    (mask,) = sample.annotations[0].masks
    assert np.argwhere(decode_rle(mask)).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]


def test_a_mask_of_a_jpeg_has_sharp_edges(release):
    values = np.full((4, 6), 3, np.uint8)
    values[:, :3] = 250
    (sample,) = read_instructpart(release(PART, mask=values, suffix='.jpg'), 'train1800', SkipReport())
    assert decode_rle(sample.annotations[0].masks[0]).sum() == 12


@pytest.mark.parametrize(
    ('part', 'mask', 'words'),
    [
        ({**PART, 'instruction': TEXTS[:5]}, None, 'expected 6 texts'),
        ({**PART, 'part': ''}, None, 'part'),
        ({**PART, 'part': 'rim'}, None, 'a-coffee_cup-rim.jpg'),
        (PART, np.ones((6, 4), np.uint8), 'expected a mask of 4 x 6'),
        (PART, np.zeros((4, 6), np.uint8), 'at least one pixel'),
    ],
)
def test_parts_that_cannot_be_read_are_named(release, part, mask, words):
    report = SkipReport()
    assert not list(read_instructpart(release(part, mask=mask), 'train', report))
    assert report.errors[0].index == '0.part_list.0'
    assert words in str(report.errors[0])


def test_unknown_split(tmp_path):
    with pytest.raises(ConfigError, match='train1200'):
        list(read_instructpart(tmp_path, 'val', SkipReport()))
