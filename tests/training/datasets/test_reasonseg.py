"""ReasonSeg in the layout of its release: LabelMe-like files beside the images, some of them not UTF-8."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.reasonseg import IGNORE, TARGET, draw_polygons, read_reasonseg
from instructsam_training.datasets.registry import SOURCES

SQUARE = [[2, 2], [7, 2], [7, 7], [2, 7]]


def shape(label: str, points: Any = SQUARE) -> dict[str, Any]:
    return {'label': label, 'labels': [label], 'shape_type': 'polygon', 'points': points}


def content(*shapes: Any, text: Any = ('What holds tea?', 'Which is blue?'), is_sentence: Any = True) -> dict[str, Any]:
    return {'text': list(text), 'is_sentence': is_sentence, 'shapes': list(shapes)}


@pytest.fixture
def write_image(save: Callable[..., Path], paint: Callable[..., Path]) -> Callable[..., None]:
    """Write one image of the release, with its file."""

    def write(stem: str, record: Any, split: str = 'train') -> None:
        paint(f'ReasonSeg/{split}/{stem}.jpg', (10, 12))
        save(f'ReasonSeg/{split}/{stem}.json', record)

    return write


@pytest.fixture
def read(tmp_path: Path, report: SkipReport) -> Callable[..., list[Sample]]:
    return lambda split='train', **options: list(read_reasonseg(tmp_path / 'ReasonSeg', split, report, **options))


def test_polygons_include_their_outlines(write_image: Callable[..., None], read: Callable[..., list[Sample]]) -> None:
    write_image('a_1', content(shape('target')))
    (sample,) = read()
    expected = np.zeros((10, 12), dtype=bool)
    expected[2:8, 2:8] = True
    for annotation in sample.annotations:
        np.testing.assert_array_equal(decode_rle(annotation.masks[0]), expected)
    assert (sample.size_hw, sample.id, sample.ignore) == ((10, 12), 'a_1', None)
    assert sample.image.name == 'a_1.jpg'


def test_small_polygons_are_drawn_over_large_ones() -> None:
    small = [[4, 4], [5, 4], [5, 5], [4, 5]]
    middle = [[3, 3], [6, 3], [6, 6], [3, 6]]
    for shapes in (
        [shape('target'), shape('Ignore', middle), shape('target', small)],
        [shape('target', small), shape('target'), shape('ignore this', middle)],
    ):
        values = draw_polygons(shapes, (10, 12))
        assert values[2, 2] == TARGET
        assert values[3, 3] == values[6, 6] == IGNORE
        assert (values[4:6, 4:6] == TARGET).all()
        assert values[0, 0] == 0


def test_ignored_pixels_have_their_own_mask(
    write_image: Callable[..., None], read: Callable[..., list[Sample]]
) -> None:
    write_image('a_1', content(shape('target'), shape('IGNORE', [[9, 9], [11, 9], [11, 9]]), shape('Flag', [[0, 0]])))
    (sample,) = read()
    assert sample.ignore is not None
    assert decode_rle(sample.ignore)[9, 9:].all()
    assert decode_rle(sample.ignore).sum() == 3
    assert decode_rle(sample.annotations[0].masks[0]).sum() == 36


@pytest.mark.parametrize(
    ('split', 'options', 'texts'),
    [
        ('train', {}, ['What holds tea?', 'Which is blue?']),
        ('val', {}, ['What holds tea?']),
        ('test', {'first_text_only': False}, ['What holds tea?', 'Which is blue?']),
        ('train', {'first_text_only': True}, ['What holds tea?']),
    ],
)
def test_texts_used_of_each_split(
    write_image: Callable[..., None], read: Callable[..., list[Sample]], split: str, options: Any, texts: list[str]
) -> None:
    write_image('a_1', content(shape('target')), split)
    (sample,) = read(split, **options)
    assert [(a.kind, a.text, a.phrase) for a in sample.annotations] == [('sentence', text, 'target') for text in texts]


def test_text_that_is_no_sentence_becomes_a_name(
    write_image: Callable[..., None], read: Callable[..., list[Sample]]
) -> None:
    write_image('a_1', content(shape('target'), text=['The thing that holds tea.'], is_sentence=False))
    (annotation,) = read(phrase='answer')[0].annotations
    assert (annotation.kind, annotation.phrase) == ('phrase', 'the thing that holds tea')


def test_file_in_windows_encoding(
    write_image: Callable[..., None], read: Callable[..., list[Sample]], tmp_path: Path
) -> None:
    write_image('a_1', content(shape('target')))
    text = json.dumps(content(shape('target'), text=['Café or “bar”?']), ensure_ascii=False)
    (tmp_path / 'ReasonSeg/train/a_1.json').write_bytes(text.encode('cp1252'))
    assert read()[0].annotations[0].text == 'Café or “bar”?'


def test_image_without_polygons_has_no_target(
    write_image: Callable[..., None], read: Callable[..., list[Sample]], report: SkipReport
) -> None:
    write_image('a_1', content(shape('flag')), 'test')
    (sample,) = read('test')
    assert sample.annotations[0].masks == ()
    assert not report.errors


def test_explanatory_questions(
    write_image: Callable[..., None], read: Callable[..., list[Sample]], save: Callable[..., Path], report: SkipReport
) -> None:
    write_image('a_1', content(shape('target')))
    more = [
        {'image': 'a_1.jpg', 'query': 'What would a thirsty guest want?', 'outputs': 'The cup, because ...'},
        {'image': 'a_1.jpg', 'query': 'What holds tea?', 'outputs': 'The cup.'},
        {'image': 'lost.jpg', 'query': 'Where?', 'outputs': ''},
        {'image': 'a_1.jpg'},
        'nothing',
    ]
    save('ReasonSeg/explanatory/train.json', more)
    (sample,) = read()
    assert [a.text for a in sample.annotations] == [
        'What holds tea?',
        'Which is blue?',
        'What would a thirsty guest want?',
    ]
    assert [(error.file.name, error.index) for error in report.errors] == [
        ('train.json', 2),
        ('train.json', 3),
        ('train.json', 4),
    ]


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        ('{"text": ["a"', "Expecting ',' delimiter"),
        (content(shape('target'), text=[]), 'text: expected a list of texts'),
        (content(shape('target'), is_sentence=None), 'is_sentence'),
        (content(shape('target', [[1, 2, 3]])), 'points'),
        (content(shape('target', [])), 'points'),
        (content(shape('target', [[10**400, 1]])), 'points'),
        (content(shape('target', [['a', 'b']])), 'points'),
        (content({'points': SQUARE}), 'expected text in label'),
        ({**content(), 'shapes': None}, 'shapes: expected a list'),
        ([], 'expected an object'),
    ],
)
def test_invalid_image_is_skipped_alone(
    write_image: Callable[..., None], read: Callable[..., list[Sample]], report: SkipReport, record: Any, message: str
) -> None:
    write_image('a_1', content(shape('target')))
    write_image('b_2', record)
    assert [sample.id for sample in read()] == ['a_1']
    assert [error.file.name for error in report.errors] == ['b_2.json']
    assert message in report.errors[0].reason


def test_missing_and_broken_images(
    write_image: Callable[..., None],
    read: Callable[..., list[Sample]],
    save: Callable[..., Path],
    report: SkipReport,
    tmp_path: Path,
) -> None:
    write_image('a_1', content(shape('target')))
    write_image('b_2', content(shape('target')))
    (tmp_path / 'ReasonSeg/train/a_1.jpg').unlink()
    save('ReasonSeg/train/b_2.jpg', 'no image')
    assert read() == []
    assert ['found no file' in error.reason for error in report.errors] == [True, False]
    assert 'cannot read' in report.errors[1].reason


def test_unusable_releases(read: Callable[..., list[Sample]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no such folder'):
        read()
    (tmp_path / 'ReasonSeg').mkdir()
    with pytest.raises(ConfigError, match='expected it to hold train'):
        read()
    (tmp_path / 'ReasonSeg/train').mkdir()
    with pytest.raises(ConfigError, match='expected a JSON file beside each image'):
        read()
    with pytest.raises(ConfigError, match='split: expected one of'):
        read('testA')


def test_answers_from_a_file_of_categories(
    write_image: Callable[..., None], save: Callable[..., Path], tmp_path: Path, report: SkipReport
) -> None:
    for stem in 'a_1', 'b_2', 'c_3':
        write_image(stem, content(shape('target')))
    reason_seg_cat = SOURCES['reason_seg_cat'].read
    with pytest.raises(ConfigError, match=r'expected it to hold categories\.json'):
        list(reason_seg_cat(tmp_path / 'ReasonSeg', 'train', report))
    save('ReasonSeg/categories.json', {'a_1': 'teapot', 'c_3': ''})
    (sample,) = reason_seg_cat(tmp_path / 'ReasonSeg', 'train', report)
    assert [(each.text, each.phrase) for each in sample.annotations] == [
        ('What holds tea?', 'teapot'),
        ('Which is blue?', 'teapot'),
    ]
    assert [(error.file.name, error.reason.partition(',')[0]) for error in report.errors] == [
        ('b_2.json', 'expected text in b_2'),
        ('c_3.json', 'expected text in c_3'),
    ]
    save('ReasonSeg/categories.json', ['teapot'])
    with pytest.raises(ConfigError, match='expected names by image'):
        list(reason_seg_cat(tmp_path / 'ReasonSeg', 'train', report))


def test_image_without_its_file_is_named(
    write_image: Callable[..., None],
    paint: Callable[..., Path],
    read: Callable[..., list[Sample]],
    reasons: Callable[[], list[tuple[str, str, str]]],
) -> None:
    write_image('a_1', content(shape('target')))
    paint('ReasonSeg/train/b_2.jpg', (10, 12))
    assert [sample.id for sample in read()] == ['a_1']
    assert reasons() == [('b_2.jpg', '0', 'expected b_2.json beside the image, found none')]
