"""The page about cards: what is left on each, what options cost, and that it says what was modeled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.bench.cards import CARDS, main

SCENARIO = {'kernels': 6000, 'tflop': 12.3, 'gbyte': 82.0, 'peak_memory_gib': 5.0}
RESULT: dict[str, Any] = {
    'parameters': 2_600_000_000,
    'weights_gib': 4.9,
    'dtype': 'bfloat16',
    'size': '1280x720',
    'max_pixels': 0,
    'sam3_size': 0,
    'quantization': 'none',
    'scenarios': {'cold': SCENARIO, 'warm': {**SCENARIO, 'kernels': 4000, 'peak_memory_gib': 6.0}},
}
REPORT = {
    'queries': 480,
    'images': 60,
    'overall': {'gIoU': 0.7335, 'mAP': 0.6},
    'intervals': {'gIoU': [0.694, 0.769]},
}


def write(folder: Path, *results: dict[str, Any]) -> list[str]:
    files = [folder / f'{number}.json' for number in range(len(results))]
    for file, result in zip(files, results, strict=True):
        file.write_text(f'a table\n{json.dumps(result)}\n')
    return [str(file) for file in files]


def row_of(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_the_page_says_what_is_left_on_each_card_and_that_it_is_modeled(tmp_path: Path) -> None:
    small = {**RESULT, 'max_pixels': 307200, 'sam3_size': 672, 'quantization': 'int8', 'weights_gib': 2.8}
    scenario = {**SCENARIO, 'tflop': 4.0, 'peak_memory_gib': 3.0}
    small['scenarios'] = {'cold': scenario, 'warm': scenario}
    page = tmp_path / 'docs' / 'gpus.md'
    main([*write(tmp_path, RESULT, small), '--out', str(page)])
    text = page.read_text()
    assert '**Memory and arithmetic are modeled, not measured**' in text
    header = row_of(text, '| frames')
    names = [f'{card.name} {card.memory_gb} GB' for card in CARDS]
    assert header[4:] == names
    # The most of all answers counts: 8 GB are 7.45 GiB, less 0.75, less 6 GiB and a twentieth.
    left = dict(zip(names, row_of(text, '| 1280x720 |  |  |  |')[4:], strict=True))
    assert left['RTX 4060 8 GB'] == '0.4'
    assert left['Orin Nano 8 GB'] == 'no'
    assert left['AGX Orin 64 GB'] == '50.3'
    assert row_of(text, '| 1280x720 | 307200 | 672 | int8 |')[4 + names.index('Orin Nano 8 GB')] == '1.3'
    assert '| 1280x720 |  |  |  | 4.90 | 6.00 | 12.30 | 12.30 | 6000 | 4000 | 82.0 |' in text
    assert 'multiple\n  of 336' in text
    assert 'What the options lose' not in text


def test_losses_and_modeled_times_are_shown_where_they_are_given(tmp_path: Path) -> None:
    timed = {**RESULT, 'engine': 'auto', 'cards': {'orin': {'warm': {'eager': 300.0, 'inductor': 210.4}}}}
    (tmp_path / 'sam3_size=180').mkdir()
    (tmp_path / 'sam3_size=180' / 'report.json').write_text(json.dumps(REPORT))
    page = tmp_path / 'gpus.md'
    main([*write(tmp_path, timed), '--losses', str(tmp_path / 'sam3_size=180'), '--out', str(page)])
    text = page.read_text()
    assert row_of(text, '| frames | max_pixels | sam3_size | quantization | weights')[-1] == 'warm ms orin'
    assert '| 210 |' in text
    assert '| sam3_size=180 | 73.4 | 69.4 to 76.9 | 60.0 |' in text
    assert 'on 480 questions about 60 simulated tables' in text


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r'cards: expected files with a line of JSON and folders with a report, got: .*no'
    ):
        main([*write(tmp_path, RESULT), '--losses', str(tmp_path / 'nowhere'), '--out', str(tmp_path / 'gpus.md')])
