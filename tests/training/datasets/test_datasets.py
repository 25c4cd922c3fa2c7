"""The table of data sets, the names of pictures, and the samples themselves."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import encode_rle
from instructsam_training.data.sample import Annotation, Sample, SampleError, SkipReport, clean_phrase, named
from instructsam_training.datasets import SOURCES


@pytest.mark.parametrize('name', SOURCES)
def test_every_reader_says_what_it_lacks(name: str, tmp_path: Path, report: SkipReport) -> None:
    source = SOURCES[name]
    assert list(inspect.signature(source.read).parameters)[:4] == ['root', 'split', 'report', 'images']
    for root in (tmp_path, tmp_path / 'none'):
        with pytest.raises(ConfigError, match=str(tmp_path)):
            list(source.read(root, source.splits[0], report))
    assert not report.errors


def test_errors_survive_a_worker() -> None:
    error = SampleError(Path('a.json'), '3.annotation.1', 'expected more')
    again = pickle.loads(pickle.dumps(error))
    assert (again.file, again.index, again.reason, str(again)) == (error.file, error.index, error.reason, str(error))


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (' Red mug. ', 'red mug'),
        ('TV', 'tV'),
        ('a...', 'a..'),
        ('', ''),
        ('.', ''),
        ('Éclair', 'éclair'),
    ],
)
def test_phrases(text: str, expected: str) -> None:
    assert clean_phrase(text) == expected


def test_what_a_sample_checks() -> None:
    import numpy as np

    rle = encode_rle(np.ones((4, 6), dtype=bool))
    with pytest.raises(ValueError, match='expected the size'):
        Sample(Path('a.jpg'), (6, 4), (named('mug', (rle,)),))
    with pytest.raises(ValueError, match='expected the size'):
        Sample(Path('a.jpg'), (6, 4), (named('mug'),), ignore=rle)
    with pytest.raises(ValueError, match='expected a text and a phrase'):
        Annotation('sentence', 'Where?', ' ')
