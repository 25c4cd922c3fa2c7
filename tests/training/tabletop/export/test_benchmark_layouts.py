"""Simulated tabletops in the layouts of the benchmarks: each is read back by its benchmark, with the same targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.tabletop.export.benchmark_layouts import main, write_layouts

SIZE_HW = (24, 32)
KINDS = [
    ('category', 'mugs', 2),
    ('function', 'thing to cut with', 1),
    ('relation', 'mug on book', 1),
    ('none', 'cone', 0),
]


def box(column: int) -> Rle:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[4:12, column : column + 6] = True
    return encode_rle(mask)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six scenes as `instructsam-tabletop --split test` writes them."""
    folder = tmp_path / 'tabletop'
    records = []
    for number in range(6):
        image = Path('test', '0000', f'{number:07}.png')
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', SIZE_HW[::-1]).save(folder / image)
        entries = [
            {'text': f'Show the {phrase}.', 'kind': kind, 'phrase': phrase}
            | ({'mask': [box(2 + 8 * index) for index in range(count)]} if count else {})
            for kind, phrase, count in KINDS
        ]
        records.append({'image': str(image), 'height': SIZE_HW[0], 'width': SIZE_HW[1], 'annotation': entries})
    (folder / 'inst2seg.json').write_text(json.dumps(records))
    return folder


def test_each_benchmark_reads_its_layout(source: Path, tmp_path: Path) -> None:
    out = tmp_path / 'benchmarks'
    assert write_layouts(source, out)['inst2seg/inst2seg.json'] == 6
    counts = {}
    for name in ('inst2seg', 'reasonseg', 'grefcoco', 'gseval', 'roborefit'):
        for split in BENCHMARKS[name].splits:
            skipped = SkipReport()
            queries = BENCHMARKS[name].load_queries(out / name, split, skipped)
            assert not skipped.errors
            assert all(query.image.is_file() and query.size_hw == SIZE_HW for query in queries)
            counts[name, split] = (len(queries), sum(len(query.targets) for query in queries))
    assert counts['inst2seg', 'test'] == (24, 24)
    assert counts['reasonseg', 'val'] == counts['reasonseg', 'test'] == (9, 9)  # one mask of all targets
    assert counts['grefcoco', 'val'] == (4, 4)  # a name with two instances, and one without, in two scenes
    assert counts['gseval', 'test'] == (18, 18)
    assert counts['roborefit', 'testA'] == (6, 6)
    strata = {query.group for query in BENCHMARKS['gseval'].load_queries(out / 'gseval', 'test', SkipReport())}
    assert strata == {'stuff', 'part', 'single'}
    write_layouts(source, out)  # again: links are replaced


def test_folder_without_a_test_split_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / 'out')]) == 2
    assert 'inst2seg.json' in capsys.readouterr().err
