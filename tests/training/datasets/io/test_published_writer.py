"""Writer of the published training format, checked by reading back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.published import read_published
from instructsam_training.datasets.io.published_writer import write_published

MASK = np.zeros((4, 6), dtype=bool)
MASK[:, 1] = True
RLE = encode_rle(MASK)
CORNER = np.zeros((4, 6), dtype=bool)
CORNER[:2, :2] = True


def everything(images: Path) -> list[Sample]:
    """Samples that use every field."""
    box = encode_rle(CORNER)
    return [
        Sample(
            images / 'a.jpg',
            (4, 6),
            (
                named('Blue mug.', (RLE, RLE)),
                named('purple elephant'),
                named('box', (box,), box_only=True),
                Annotation('sentence', 'What cuts "bread"?', 'knife', (RLE,), box_xyxy=(0.0, 1.5, 6.0, 4.0)),
                Annotation('sentence', 'Who?', 'mr. b.', (RLE,)),
                Annotation('caption', 'How many mugs are there?', 'two'),
                Annotation('OCR', 'Ausgang → Ä', 'ausgang → Ä', (RLE,)),
                Annotation(
                    'sentence',
                    'Pots and pan?',
                    'pots',
                    (RLE, box),
                    additional_phrases=(named('pan'), named('lid', (RLE,))),
                ),
            ),
            allow_multi_phrase=True,
            depth=images / 'depth' / 'a.png',
            id='a',
            scene='kitchen',
            ignore=box,
        ),
        Sample(images / 'b.jpg', (4, 6), (named('mug', (RLE,)),), id='b'),
        Sample(images / 'c.jpg', (4, 6), (named('mug'),), id='c'),
    ]


@pytest.mark.parametrize(('name', 'shards'), [('train.json', 1), ('train.jsonl', 1), ('train.jsonl', 2)])
def test_written_samples_are_read_back_equal(tmp_path: Path, report: SkipReport, name: str, shards: int) -> None:
    samples = everything(tmp_path / 'images')
    files = write_published(iter(samples), tmp_path / 'out' / name, tmp_path / 'images', shards)
    assert sorted(files) == sorted((tmp_path / 'out').iterdir())
    read = [sample for file in files for sample in read_published(file, report, tmp_path / 'images')]
    assert not report.errors
    assert sorted((replace(sample, source='') for sample in read), key=lambda sample: sample.id) == samples
    assert [len(list(read_published(file, report))) for file in files] == ([3] if shards == 1 else [2, 1])


def test_images_outside_the_folder_get_absolute_paths(
    tmp_path: Path, report: SkipReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_published(everything(Path('images')), Path('out/train.json'))
    sample, *_ = read_published(Path('out/train.json'), report)
    assert sample.image == tmp_path / 'images' / 'a.jpg'


def test_written_records_have_the_published_fields(tmp_path: Path) -> None:
    (file,) = write_published(everything(tmp_path), tmp_path / 'train.json', tmp_path)
    first, second, _ = json.loads(file.read_text())
    assert first['image'] == 'a.jpg'
    assert (first['type'], second['type']) == ('instseg', 'seg')
    assert [entry['ann_type'] for entry in first['annotation']] == ['mask', 'mask', 'bbox', *['mask'] * 4]
    assert json.loads(first['annotation'][2]['ann'][0]) == [0, 0, 2, 2]
    assert json.loads(first['annotation'][0]['ann'][0]) == RLE
    assert first['annotation'][1]['ann'] is None
    assert first['annotation'][3]['category'] == 'knife'


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / 'train.json'
    write_published(everything(tmp_path), file)
    before = file.read_text()

    def break_off() -> Any:
        yield everything(tmp_path)[1]
        raise RuntimeError('no more')

    with pytest.raises(RuntimeError):
        write_published(break_off(), file)
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]


def test_no_samples_make_an_empty_list(tmp_path: Path) -> None:
    (file,) = write_published([], tmp_path / 'train.json')
    assert json.loads(file.read_text()) == []


@pytest.mark.parametrize(('name', 'shards'), [('train.csv', 1), ('train.json', 0)])
def test_invalid_output_arguments(tmp_path: Path, name: str, shards: int) -> None:
    with pytest.raises(ConfigError):
        write_published([], tmp_path / name, shards=shards)


def test_phrase_that_would_be_read_back_differently_is_an_error(tmp_path: Path) -> None:
    wrong = Sample(tmp_path / 'a.jpg', (4, 6), (Annotation('phrase', 'Blue mug', 'cup'),))
    with pytest.raises(ValueError, match="expected 'blue mug'"):
        write_published([wrong], tmp_path / 'train.json')
