"""Comparison of evaluations in one table, for the terminal and as Markdown. Covers grid and speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_training.evaluation.report.compare import main

SPEED = {'predictions': 2, 'seconds': {'p50': 0.0371, 'p95': 0.2}, 'stages': {}, 'peak_memory_gib': 1.25}


@pytest.fixture
def result(save: Callable[..., Path]) -> Callable[..., str]:
    """Write report.json, and speed.json unless `speed` is None; returns NAME=FOLDER."""

    def write(name: str, giou: float | None, split: str = 'test', speed: object = SPEED, runs: object = None) -> str:
        overall = {'queries': 2, 'mAP': 0.5, 'gIoU': giou}
        report = {'benchmark': 'tabletop', 'settings': {'split': split}, 'overall': overall, 'runs': runs or {}}
        file = save(f'{name}/report.json', report)
        if speed:
            save(f'{name}/speed.json', speed)
        return f'{name}={file.parent}'

    return write


def test_one_row_for_each_evaluation(result: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([result('a|b', 0.123), result('20', None, speed=None), '--markdown']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        '| tabletop test | mAP, % | gIoU, % | median, ms | 95 % within, ms | memory, GiB |',
        '|---|---:|---:|---:|---:|---:|',
        '| a\\|b | 50.0 | 12.3 | 37 | 200 | 1.25 |',
        '| 20 | 50.0 | n/a |  |  |  |',
    ]
    assert 'SAM3-Agent (Qwen3-VL-2B) 29.6 s (Table 10)' in lines[-1]
    assert main([result('10', 0.5)]) == 0
    assert '│ 10 ' in capsys.readouterr().out


def test_agents_have_columns_of_their_own(result: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    means = {'rounds': 3.0, 'calls': 4.25, 'prompt tokens': 6000.0, 'generated tokens': 80.0, 'cost': 0.0}
    runs = {'died': 2, 'counts': {name: {'mean': value} for name, value in means.items()}}
    assert main([result('one', 0.5), result('agent', 0.6, runs=runs), '--markdown']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('| died | rounds, mean | calls, mean | prompt tokens, mean | generated tokens, mean |')
    assert lines[2].endswith('|  |  |  |  |  |')
    assert lines[3].endswith('| 2 | 3.00 | 4.25 | 6000.00 | 80.00 |')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{0}', '{1}'], 'expected evaluations of one benchmark and split, got tabletop test, tabletop val'),
        (['folder'], "expected NAME=FOLDER, got 'folder'"),
        (['x=/nowhere'], '/nowhere/report.json: expected a JSON file'),
    ],
)
def test_unusable_evaluations_are_errors(
    result: Callable[..., str], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = result('a', 0.1), result('b', 0.1, split='val')
    assert main([argument.format(*folders) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
