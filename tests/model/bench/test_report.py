"""docs/performance.md: tables, plots, and results without optional parts.

Covers bench.markdown and bench.plots.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsam_model.bench.report import main
from instructsam_model.bench.stages import STAGES

ROW = {
    **dict.fromkeys(('p50_ms', 'p95_ms', 'p99_ms', 'tflop', 'tflop_per_s'), 10.0),
    'roofline_ms': 5.0,
    'naive_ratio': 2.5,
    'stages_ms': dict.fromkeys(STAGES, 1.0),
}
MODEL = {
    'model': 'some/where',
    'parameters': 117_900_000,
    'device': 'cpu',
    'threads': 2,
    'dtype': 'float32',
    'size': '640x480',
    'phrases': 1,
    'phrase_tokens': 6,
    'queries': 10,
    'repeats': 5,
    'peak_memory_gib': 1.5,
    'peak_tflop_per_s': 0.17,
    'scenarios': {
        **dict.fromkeys(('cold', 'warm', 'steady', 'same frame', 'reworded'), ROW),
        'naive': {**ROW, 'p50_ms': 25.0},
    },
    'compilations': 0,
    'sweep': [
        {'setting': 'cameras', 'value': 1, 'p50_ms': {'cold': 3.0, 'same frame': 1.0}},
        {'setting': 'cameras', 'value': 2, 'p50_ms': {'cold': 6.5}},
    ],
    'experiments': [
        {'experiment': 'int8', 'failed': 'not here'},
        {'experiment': 'channels last', 'ratio': 0.9, 'mask_iou': 1.0},
    ],
}
NODE = {'size': '1280x720', 'rate_hz': 2.0, 'answers_per_s': 2.0, 'overhead_p50_ms': 4.2}


def test_page_shows_speedups_plots_and_failed_experiments(tmp_path: Path) -> None:
    files = []
    for name, result in (('model', MODEL), ('node', NODE)):
        files.append(tmp_path / f'{name}.json')
        files[-1].write_text(f'a table\n{json.dumps(result)}\n')
    page = tmp_path / 'docs' / 'performance.md'
    main([*map(str, files), '--out', str(page)])
    text = page.read_text()
    assert '| cold | naive | 2.50 |' in text
    assert 'reach 0.17 TFLOP/s' in text
    assert '`warm` would be 5.00 times' in text
    assert 'not here' in text
    assert 'Graphs compiled for instructions of 1 to 60 words: 0.' in text
    assert '| cameras | 2 | 6.5 |  |' in text
    assert '| 1280x720 | 2.0 | 2.0 | 4.2 |' in text
    for plot in ('performance-0-stages.png', 'performance-0-growth.png'):
        assert f'({plot})' in text
        assert (page.parent / plot).stat().st_size > 1000


def test_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / 'empty.json').write_text('')
    with pytest.raises(SystemExit, match='expected a file with a line of JSON'):
        main([str(tmp_path / 'empty.json'), '--out', str(tmp_path / 'page.md')])
