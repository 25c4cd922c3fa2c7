"""The numbers and tables of a report. Covers table and speed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from instructsam_model.masks import Rle
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.report import EvaluationSettings, make_report
from instructsam_training.evaluation.report.speed import summarize_speed
from instructsam_training.evaluation.report.table import heading, report_tables

MakeQuery, MakePrediction, MakeMask = Callable[..., Query], Callable[..., PredictedMasks], Callable[[int, int], Rle]
SETTINGS = EvaluationSettings('test', 'authors', 0.3, 'weights', 'published', backend='sam3')


def test_failed_queries_are_excluded_and_listed(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    queries = [query(name, pixels(0, 10)) for name in 'abc']
    predictions = {'a': prediction('a', (pixels(0, 10), 0.9)), 'b': PredictedMasks('b', error='a.png: damaged')}
    report, _ = make_report(BENCHMARKS['inst2seg'], SETTINGS, queries, predictions, ['inst2seg.json[3]: no text'])
    assert (report['queries'], report['scored'], report['overall']['gIoU']) == (3, 1, 1.0)
    assert report['skipped'] == ['inst2seg.json[3]: no text', 'b: a.png: damaged', 'c: no prediction']


def test_gseval_scores_empty_predictions(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    queries = [query('a', pixels(0, 10), group='stuff'), query('b', pixels(0, 10), group='part')]
    predictions = {'a': prediction('a', (pixels(0, 8), 1.0)), 'b': prediction('b', (pixels(0, 0), 1.0))}
    gseval = BENCHMARKS['gseval']
    report, _ = make_report(gseval, SETTINGS, queries, predictions, [])
    assert (report['overall']['gIoU'], report['empty_predictions']) == (0.4, 1)
    assert report['strata']['class']['part']['gIoU'] == 0.0
    # The public evaluator drops queries with an empty prediction.
    released, _ = make_report(gseval, replace(SETTINGS, scoring='released'), queries, predictions, [])
    assert (released['overall']['gIoU'], released['scored']) == (0.8, 1)


def test_reasonseg_by_length_and_scoring(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    queries = [query('a', pixels(0, 10), group='long'), query('b', group='short')]
    predictions = {'a': prediction('a', (pixels(0, 5), 0.9)), 'b': prediction('b')}
    settings = replace(SETTINGS, split='val')
    trained, _ = make_report(BENCHMARKS['reasonseg'], settings, queries, predictions, [])
    assert trained['overall']['gIoU'] == (5 / (10 + 1e-5) + 1) / 2
    assert trained['strata']['length']['short']['gIoU'] == 1.0
    released, _ = make_report(BENCHMARKS['reasonseg'], replace(settings, scoring='released'), queries, predictions, [])
    assert released['strata']['length']['short']['gIoU'] == 0.0


def test_tables_include_all_published_methods(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    queries = [query('a', pixels(0, 10)), query('b')]
    predictions = {'a': prediction('a', (pixels(0, 8), 0.9)), 'b': prediction('b')}
    report, _ = make_report(BENCHMARKS['inst2seg'], SETTINGS, queries, predictions, [])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    console = Console(record=True, width=200)
    console.print(*report_tables(report))
    lines = console.export_text().splitlines()
    assert lines[0] == 'inst2seg test: 2 of 2 queries on 2 images, 1 without a target, back end sam3'
    rows = {row[0]: row[1:] for row in ([cell.strip() for cell in line.split('│')[1:-1]] for line in lines) if row}
    assert rows['gIoU'] == ['90.0', '80.0 to 100.0']
    assert rows['1'][:3] == ['1', '70.0', '80.0']
    # mAP and gIoU of all queries, gIoU without a target, then mAP and gIoU with one target and with several.
    assert rows['this evaluation'] == ['70.0', '90.0', '100.0', '70.0', '80.0', 'n/a', 'n/a', '']
    # mAP, gIoU, cIoU and AP50 of the query without a target: only its gIoU is defined.
    assert rows['0'][:5] == ['1', 'n/a', '100.0', 'n/a', 'n/a']
    assert rows['InstructSAM-2B'] == ['31.5', '60.4', '74.3', '52.6', '66.8', '22.2', '44.0', 'Table 2']
    assert rows['SAM3-Agent (Qwen2.5-VL-7B)'] == ['35.7', '63.2', '90.1', '', '', '', '', 'Table 2']
    assert {result.method for result in BENCHMARKS['inst2seg'].published['test']} <= rows.keys()


def test_heading_without_backend_and_with_shuffled_instructions(query: MakeQuery, pixels: MakeMask) -> None:
    settings = replace(SETTINGS, backend='', shuffle_seed=3)
    report, _ = make_report(BENCHMARKS['inst2seg'], settings, [query('a', pixels(0, 10))], {}, [])
    assert heading(report) == 'inst2seg test: 0 of 1 queries on 1 images, with shuffled instructions'


def test_speed_has_percentiles_and_peak_memory(prediction: MakePrediction) -> None:
    predictions = [
        replace(prediction(n), seconds=n / 100, stages={'encode': 0.1}, memory_gib=n / 10) for n in range(101)
    ]
    speed = summarize_speed(predictions)
    assert (speed['queries'], speed['peak_memory_gib']) == (100, 10.0)
    assert speed['seconds']['p50'] == 0.505
    assert speed['seconds']['p95'] == pytest.approx(0.9505)
    assert summarize_speed([PredictedMasks('a')]) == {}
