"""The registry of data sets. Covers datasets/source.py, datasets/published_format.py and data/sample.py too."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import encode_rle
from instructsam_training.data.sample import Annotation, Sample, SampleError, SkipReport, clean_phrase, named
from instructsam_training.datasets.registry import SOURCES, find_sources
from tests.support import ROOT

READER = """
from instructsam_training.data.sample import Sample, named
from instructsam_training.datasets.source import Source


def read(root, split, report, images=None):
    yield Sample(root / 'a.jpg', (4, 6), (named('mug'),))


SOURCES = {'mine': Source(read, ('train',))}
"""


def make_package(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> tuple[list[str], str]:
    """Write an importable package of readers; return its path and name."""
    name = f'readers_{folder.name}'
    (folder / name).mkdir()
    for module, source in modules.items():
        (folder / name / f'{module}.py').write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    return [str(folder / name)], name


def test_a_new_data_set_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: SkipReport) -> None:
    sources = find_sources(*make_package(tmp_path, monkeypatch, mine=READER, helpers='ANSWER = 42'))
    assert list(sources) == ['mine']
    (sample,) = sources['mine'].read(tmp_path, 'train', report)
    assert sample.annotations[0].phrase == 'mug'


def test_a_name_is_declared_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match='second: expected new names of data sets, got mine again'):
        find_sources(*make_package(tmp_path, monkeypatch, first=READER, second=READER))


def test_readers_of_all_modules_are_found() -> None:
    assert {'published', 'refcoco+', 'grefcoco', 'reasonseg', 'roborefit', 'coco', 'objects365'} <= SOURCES.keys()
    assert SOURCES['refclef'].splits == ('train', 'val', 'testA', 'testB', 'testC')
    assert SOURCES['coco'].read_file is not None
    assert SOURCES['roborefit'].read_file is None


@pytest.mark.parametrize('name', SOURCES)
def test_reader_names_the_missing_files(name: str, tmp_path: Path, report: SkipReport) -> None:
    source = SOURCES[name]
    assert list(inspect.signature(source.read).parameters)[:4] == ['root', 'split', 'report', 'images']
    for root in (tmp_path, tmp_path / 'none'):
        with pytest.raises(ConfigError, match=str(tmp_path)):
            list(source.read(root, source.splits[0], report))
    assert not report.errors


def test_sample_errors_can_be_pickled() -> None:
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
def test_clean_phrase(text: str, expected: str) -> None:
    assert clean_phrase(text) == expected


def test_sample_validates_masks_and_texts() -> None:
    import numpy as np

    rle = encode_rle(np.ones((4, 6), dtype=bool))
    with pytest.raises(ValueError, match='expected the size'):
        Sample(Path('a.jpg'), (6, 4), (named('mug', (rle,)),))
    with pytest.raises(ValueError, match='expected the size'):
        Sample(Path('a.jpg'), (6, 4), (named('mug'),), ignore=rle)
    with pytest.raises(ValueError, match='expected a text and a phrase'):
        Annotation('sentence', 'Where?', ' ')


def test_training_file_of_inst2seg(save: Callable[..., Path], tmp_path: Path, report: SkipReport) -> None:
    entry = {'type': 'sentence', 'text': 'What cuts?', 'category': 'knife', 'ann_type': 'mask', 'ann': None}
    record = {'image': 'a.jpg', 'height': 4, 'width': 6, 'type': 'seg', 'annotation': [entry]}
    for number in range(2):
        save(f'inst2seg_part{number}.json', [record])
    assert len(list(SOURCES['inst2seg'].read(tmp_path, 'train', report))) == 2
    with pytest.raises(ConfigError, match=r'expected train, got .test.; inst2seg_eval reads the benchmark'):
        list(SOURCES['inst2seg'].read(tmp_path, 'test', report))


@pytest.mark.parametrize('stage', [1, 2])
def test_page_has_a_row_for_each_name_of_the_stage_lists(stage: int) -> None:
    lines = (ROOT / f'training/configs/stage{stage}.txt').read_text().splitlines()
    names = [line.split()[0] for line in lines if line and line[0] != '#']
    table = (ROOT / 'docs/datasets.md').read_text().partition('## Stage lists')[2].partition('\n## ')[0]
    rows = [[cell.strip() for cell in line.strip('|').split(' | ')] for line in table.splitlines() if line[:3] == '| `']
    converters = {name: re.findall('`(.*?)`', row[3]) for row in rows for name in re.findall('`(.*?)`', row[0])}
    assert [name for name in names if name not in converters] == []
    known = {*SOURCES, '--held-out', '--shards'}
    assert [name for name in names if not {*converters[name]} <= known] == []
    # The name in the list is also one that instructsam-convert knows.
    assert {name for name in names if name not in SOURCES} <= {'obj365_phrase_final_mask_548k'}
    # What has no converter is read from the authors' files only, and the page says so.
    assert {name for name in names if not converters[name]} <= {'obj365_phrase_final_mask_548k'}
