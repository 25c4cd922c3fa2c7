"""docs/tabletop-levels.md, from the results of evaluations and runs of training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsam_training.tabletop.report.levels import SYSTEMS, main
from tests.support import ROOT

CONFIGS = ROOT / 'training/configs/tabletop-sam3i'
STAGES = {'phrases': ['phrases'], 'sam3i': ['simple', 'complex', 'aligned'], 'small-instructsam': ['words', 'whole']}


def write_evaluation(folder: Path, giou: float, queries: int = 40) -> None:
    folder.mkdir(parents=True)
    strata = {'targets': {count: {'queries': 1, 'gIoU': giou / 2} for count in ('0', '1')}}
    report = {
        'benchmark': 'tabletop_levels',
        'settings': {'split': folder.name},
        'overall': {'queries': queries, 'gIoU': giou},
        'intervals': {'gIoU': [giou - 0.05, giou + 0.05]},
        'strata': strata,
    }
    (folder / 'report.json').write_text(json.dumps(report))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for row, system in enumerate(SYSTEMS):
        for column, level in enumerate(system.levels):
            write_evaluation(tmp_path / 'evaluations' / system.name / level, 0.1 * (row + 1) + 0.01 * column)
    write_evaluation(tmp_path / 'evaluations/sam3/names', 0.77, queries=9)
    for run, stages in STAGES.items():
        for stage in stages:
            folder = tmp_path / 'runs' / run / stage
            (folder / 'merged').mkdir(parents=True)
            lines = [{'step': step, 'images_per_s': 0.5} for step in (1, 2, 3)]
            (folder / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    return tmp_path


def run(results: Path, *more: str) -> int:
    folders = ['--evaluations', results / 'evaluations', '--runs', results / 'runs', '--configs', CONFIGS]
    return main([str(each) for each in (*folders, '--out', results, *more)])


def cells(document: str, label: str) -> list[str]:
    (line,) = [line for line in document.splitlines() if line.startswith(f'| {label} |') and '(' in line]
    return [cell.strip() for cell in line.strip('|').split('|')][1:]


def test_rows_have_the_numbers_of_their_evaluations_and_the_time_of_their_training(results: Path) -> None:
    assert run(results, '--machine', 'two test cores') == 0
    document = (results / 'tabletop-levels.md').read_text()
    assert cells(document, 'sam3, given the concept')[:3] == ['10.0 (5.0 to 15.0)', '', '']
    sam3i = cells(document, 'sam3i')
    assert sam3i[:3] == ['30.0 (25.0 to 35.0)', '31.0 (26.0 to 36.0)', '32.0 (27.0 to 37.0)']
    # Three steps of 32 texts at 0.5 images a second: 192 seconds a stage.
    assert sam3i[3:] == ['3.2 + 9.6', '96 + 288']
    assert cells(document, 'instructsam')[3:] == ['3.2 + 1.6', '96 + 48']
    assert cells(document, 'instructsam, the embedded checkpoint')[3:] == ['', '']
    assert '| sam3i | complex | 16.0 | 16.0 |  |' in document
    assert '77.0 %' in document
    assert 'two test cores' in document


def test_unequal_evaluations_and_unfinished_runs_are_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / 'runs/sam3i/aligned/merged').rmdir()
    assert run(results) == 2
    assert 'aligned: expected a finished stage' in capsys.readouterr().err
    report = results / 'evaluations/sam3i/simple/report.json'
    report.write_text(report.read_text().replace('"queries": 40', '"queries": 39'))
    assert run(results) == 2
    assert 'sam3i/simple: 39' in capsys.readouterr().err
    report.unlink()
    assert run(results) == 2
    assert 'sam3i/simple' in capsys.readouterr().err
    assert not (results / 'tabletop-levels.md').exists()
