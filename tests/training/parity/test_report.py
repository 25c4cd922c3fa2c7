"""Differences, their printed report, and the exit status. Covers parity.metrics."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from instructsam_training.parity.__main__ import compare, instructsam_comparisons, main
from instructsam_training.parity.metrics import compare_metrics
from instructsam_training.parity.report import Difference, ParityReport, largest_by_name, print_report
from tests.support import GOLDEN


@pytest.mark.parametrize(
    ('ours', 'theirs', 'largest_abs', 'largest_rel'),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0, 0.0),
        ([1.0, 2.5], [1.0, -2.0], 4.5, 2.25),
        ([[1.0], [10.0]], [[0.0], [10.0]], 1.0, 0.1),
        ([True, False], [True, True], 1.0, 1.0),
        ([0.5], [0.0], 0.5, math.inf),
        ([], [], 0.0, 0.0),
        ([1.0], [1.0, 1.0], math.inf, math.inf),
        ([1.0], [[1.0]], math.inf, math.inf),
        ([math.nan], [1.0], math.inf, math.inf),
        ([math.nan], [math.nan], math.inf, math.inf),
        ([-math.inf, 1.0], [-math.inf, 2.0], 1.0, 0.5),
        ([math.inf, 1.0], [-math.inf, 2.0], math.inf, math.inf),
    ],
)
def test_largest_differences(ours: Any, theirs: Any, largest_abs: float, largest_rel: float) -> None:
    difference = Difference.arrays('tensor', np.array(ours), np.array(theirs), abs_tol=0.0)
    assert difference.largest_abs == pytest.approx(largest_abs)
    assert difference.largest_rel == pytest.approx(largest_rel)
    assert difference.passed == (largest_abs == 0)


@pytest.mark.parametrize(
    ('tolerances', 'passed'),
    [
        ({'abs_tol': 0.5}, True),
        ({'abs_tol': 0.49}, False),
        ({'rel_tol': 0.01}, True),
        ({'rel_tol': 0.009}, False),
        ({'abs_tol': 0.5, 'rel_tol': 0.009}, False),
        ({'abs_tol': 0.49, 'rel_tol': 0.01}, False),
    ],
)
def test_all_given_limits_apply(tolerances: dict[str, float], passed: bool) -> None:
    assert Difference.arrays('tensor', [50.5], [50.0], **tolerances).passed == passed


def test_comparison_without_limits_is_an_error() -> None:
    with pytest.raises(ValueError, match='tensor: expected abs_tol, rel_tol or both'):
        Difference.arrays('tensor', [1.0], [1.0])


@pytest.mark.parametrize(
    ('ours', 'theirs', 'differing'),
    [(['a', 'b'], ['a', 'b'], 0), (['a', 'c'], ['a', 'b'], 1), (['a'], ['a', 'b'], 1), ([], [], 0)],
)
def test_texts_must_be_equal(ours: list[str], theirs: list[str], differing: int) -> None:
    difference = Difference.texts('text', ours, theirs)
    assert difference.largest_abs == differing
    assert difference.passed == (differing == 0)


def test_one_row_for_each_name_has_the_largest_difference() -> None:
    rows = largest_by_name(
        [
            Difference.arrays('masks', [1.0], [1.1], abs_tol=0.2),
            Difference.arrays('scores', [1.0], [1.0], abs_tol=0.2),
            Difference.arrays('masks', [1.0], [1.5], abs_tol=0.2),
            Difference.arrays('masks', [1.0], [1.0], abs_tol=0.2),
        ]
    )
    assert [(row.name, row.count, row.passed) for row in rows] == [('masks', 3, False), ('scores', 1, True)]
    assert rows[0].largest_abs == pytest.approx(0.5)
    assert rows[0].largest_rel == pytest.approx(0.5 / 1.5)


def test_last_line_is_json_with_null_for_infinite() -> None:
    stream = io.StringIO()
    differences = (
        Difference.arrays('a' * 30, [math.nan], [1.0], abs_tol=1e-5),
        Difference.texts('text', ['x'], ['x']),
    )
    print_report(ParityReport(Path('folder[b]'), differences, ('forward',)), Console(file=stream, width=40))
    *_, absent, last = stream.getvalue().splitlines()
    assert absent == 'absent from folder[b]: forward'
    content = json.loads(last)
    assert content['folder'] == 'folder[b]'
    assert content['passed'] is False
    assert content['absent'] == ['forward']
    assert [row['largest_abs'] for row in content['differences']] == [None, 0.0]


def test_table_fits_into_80_columns() -> None:
    stream = io.StringIO()
    difference = Difference.arrays('generate query_embeds', [1.0], [2.0], abs_tol=1e-5, rel_tol=1e-5)
    print_report(ParityReport(Path('folder'), (difference,)), Console(file=stream, width=80))
    for cell in ('generate query_embeds', '1.00e+00', '5.00e-01', '1e-05', 'DIFFERS'):
        assert cell in stream.getvalue()


def test_empty_report_has_not_passed() -> None:
    assert not ParityReport(Path('folder'), ()).passed


def test_golden_metrics_are_reproduced() -> None:
    differences = compare_metrics(GOLDEN)
    assert [row.name for row in differences] == ['metrics giou', 'metrics ciou', 'metrics AP', 'metrics counts']
    assert all(row.passed and row.abs_tol == 1e-6 for row in differences)


def write_metrics(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((GOLDEN / 'metrics.json').read_text())
    change(content)
    (folder / 'metrics.json').write_text(json.dumps(content))


def halve_giou(content: dict[str, Any]) -> None:
    content['expected']['by_num_objects']['1']['giou'] /= 2


def drop_first_record(content: dict[str, Any]) -> None:
    del content['records'][0]


@pytest.mark.parametrize(
    ('change', 'differing'),
    [
        (halve_giou, {'metrics giou'}),
        (drop_first_record, {'metrics giou', 'metrics ciou', 'metrics AP', 'metrics counts'}),
    ],
)
def test_folder_is_compared_with_its_own_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object], differing: set[str]
) -> None:
    write_metrics(tmp_path, change)
    assert main([str(tmp_path)]) == 1
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row['name'] for row in content['differences'] if not row['passed']} == differing


def test_missing_parts_are_listed_as_absent(tmp_path: Path) -> None:
    write_metrics(tmp_path, lambda content: None)
    report = compare(tmp_path)
    assert report.passed
    absent = [part.partition(' (')[0] for part in report.absent]
    assert absent == [part.name for part in instructsam_comparisons('eager') if part.name != 'metrics']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'expected the layout of tests/golden/metrics.json, got JSONDecodeError'),
        ('{}', "got KeyError('records')"),
        ('[]', 'got TypeError'),
        ('{"records": [], "expected": {"overall": {"speed": 1.0}, "by_num_objects": {}}}', "got KeyError('speed')"),
    ],
)
def test_damaged_file_is_an_error_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / 'metrics.json').write_text(text)
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / 'metrics.json') in error
    assert message in error


@pytest.mark.parametrize('name', ['missing', '.'])
def test_folder_with_nothing_to_compare_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main([str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f'parity: error: {tmp_path / name}: expected')
    assert captured.out == ''
