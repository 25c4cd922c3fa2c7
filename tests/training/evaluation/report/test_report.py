"""The report: what counts, what is left out and listed, and what stands beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from instructsam_model.masks import Rle
from instructsam_training.evaluation.benchmark import BENCHMARKS
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question
from instructsam_training.evaluation.report.report import Setting, make_report, speed_of
from instructsam_training.evaluation.report.table import report_tables

Ask, Reply, Run = Callable[..., Question], Callable[..., Answer], Callable[[int, int], Rle]
SETTING = Setting('test', 'trained', 0.3, 'weights', 'published')


def test_failures_are_left_out_and_listed(question: Ask, answer: Reply, run: Run) -> None:
    questions = [question(name, run(0, 10)) for name in 'abc']
    answers = {'a': answer('a', (run(0, 10), 0.9)), 'b': Answer('b', error='a.png: damaged')}
    report, _ = make_report(BENCHMARKS['inst2seg'], SETTING, questions, answers, ['inst2seg.json[3]: no text'])
    assert (report['questions'], report['answered'], report['overall']['gIoU']) == (3, 1, 1.0)
    assert report['skipped'] == ['inst2seg.json[3]: no text', 'b: a.png: damaged', 'c: not answered']


def test_gseval_counts_questions_without_prediction(question: Ask, answer: Reply, run: Run) -> None:
    questions = [question('a', run(0, 10), group='stuff'), question('b', run(0, 10), group='part')]
    answers = {'a': answer('a', (run(0, 8), 1.0)), 'b': answer('b', (run(0, 0), 1.0))}
    gseval = BENCHMARKS['gseval']
    report, _ = make_report(gseval, SETTING, questions, answers, [])
    assert (report['overall']['gIoU'], report['nothing_found']) == (0.4, 1)
    assert report['strata']['class']['part']['gIoU'] == 0.0
    # The public evaluator leaves them out.
    released, _ = make_report(gseval, replace(SETTING, protocol='released'), questions, answers, [])
    assert (released['overall']['gIoU'], released['answered']) == (0.8, 1)


def test_reasonseg_by_length_and_protocol(question: Ask, answer: Reply, run: Run) -> None:
    questions = [question('a', run(0, 10), group='long'), question('b', group='short')]
    answers = {'a': answer('a', (run(0, 5), 0.9)), 'b': answer('b')}
    setting = replace(SETTING, split='val')
    trained, _ = make_report(BENCHMARKS['reasonseg'], setting, questions, answers, [])
    assert trained['overall']['gIoU'] == (5 / (10 + 1e-5) + 1) / 2
    assert trained['strata']['length']['short']['gIoU'] == 1.0
    released, _ = make_report(BENCHMARKS['reasonseg'], replace(setting, protocol='released'), questions, answers, [])
    assert released['strata']['length']['short']['gIoU'] == 0.0


def test_the_table_stands_beside_the_paper(question: Ask, answer: Reply, run: Run) -> None:
    questions = [question('a', run(0, 10)), question('b')]
    answers = {'a': answer('a', (run(0, 8), 0.9)), 'b': answer('b')}
    report, _ = make_report(BENCHMARKS['inst2seg'], SETTING, questions, answers, [])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    console = Console(record=True, width=100)
    console.print(*report_tables(report))
    lines = console.export_text().splitlines()
    assert lines[0] == 'inst2seg test: 2 of 2 questions about 2 pictures'
    [giou] = [line.split('│')[1:-1] for line in lines if '│ gIoU ' in line]
    assert [cell.strip() for cell in giou] == ['gIoU', '90.0', '80.0 to 100.0', '60.4']
    [single] = [line for line in lines if line.startswith('│ 1 ')]
    assert '80.0 (66.8)' in single


def test_speed(answer: Reply) -> None:
    answers = [replace(answer(n), seconds=n / 100, stages={'encode': 0.1}, memory_gib=n / 10) for n in range(101)]
    speed = speed_of(answers)
    assert (speed['answers'], speed['peak_memory_gib']) == (100, 10.0)
    assert speed['seconds']['p50'] == 0.505
    assert speed['seconds']['p95'] == pytest.approx(0.9505)
    assert speed_of([Answer('a')]) == {}
