"""How the runs of an agent ended, and what they took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from instructsam_model.masks import Rle
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.report import EvaluationSettings, make_report
from instructsam_training.evaluation.report.table import report_tables

MakeQuery, MakePrediction, MakeMask = Callable[..., Query], Callable[..., PredictedMasks], Callable[[int, int], Rle]
SETTINGS = EvaluationSettings('test', 'authors', 0.3, 'weights', 'published', backend='sam3_agent')


def test_dead_runs_are_counted_apart(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    queries = [query('a', pixels(0, 10)), query('b', pixels(0, 10)), query('c'), query('d')]
    selected = replace(
        prediction('a', (pixels(0, 5), 0.9)), ended='selected', counts={'rounds': 2, 'tokens': 100, 'cost': 0.002}
    )
    gave_up = replace(prediction('b'), ended='gave_up', died=True, counts={'rounds': 4, 'tokens': 300})
    reported = replace(prediction('c'), ended='reported', counts={'rounds': 1})
    limit = replace(prediction('d'), ended='limit', died=True, counts={'rounds': 9})
    predictions = {run.id: run for run in (selected, gave_up, reported, limit)}
    report, _ = make_report(BENCHMARKS['inst2seg'], SETTINGS, queries, predictions, [])
    runs = report['runs']
    assert runs['ended'] == {'gave_up': 1, 'limit': 1, 'reported': 1, 'selected': 1}
    # The empty result of d is right, although nobody decided so.
    assert (runs['died'], runs['died_right']) == (2, 1)
    assert {name: (row['queries'], row['gIoU']) for name, row in runs['metrics'].items()} == {
        'all': (4, (0.5 + 0 + 1 + 1) / 4), 'not died': (2, 0.75), 'died': (2, 0.5)
    }  # fmt: skip
    assert runs['metrics']['all']['gIoU'] == report['overall']['gIoU']
    assert runs['counts']['rounds'] == pytest.approx({'mean': 4.0, 'p50': 3.0, 'p95': 8.25, 'sum': 16.0})
    assert runs['counts']['tokens']['sum'] == 400
    console = Console(record=True, width=200)
    console.print(*report_tables(report))
    text = console.export_text()
    assert '2 died (counted as right because there was nothing to find: 1)' in ' '.join(text.split())
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in text.splitlines()]
    assert ['rounds', '4', '3', '8.25', '16'] in rows
    assert ['cost', '0.0005', '0', '0.0017', '0.0020'] in rows


def test_models_that_answer_in_one_pass_have_no_runs(query: MakeQuery, prediction: MakePrediction) -> None:
    report, _ = make_report(BENCHMARKS['inst2seg'], SETTINGS, [query('a')], {'a': prediction('a')}, [])
    assert report['runs'] == {}
