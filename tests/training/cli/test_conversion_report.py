"""Tables of a conversion: causes of drops are grouped, with the first of each."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from instructsam_training.cli.conversion_report import by_cause, drops_table
from instructsam_training.data.sample import SkipReport


def test_reasons_that_differ_in_names_and_numbers_are_one_cause() -> None:
    report = SkipReport()
    report.skip(Path('/data/a.json'), 'images.0', "annotation 7 of 'dog': polygon: expected numbers, got [1, 2]")
    report.skip(Path('/data/a.json'), 'images.3', "annotation 9 of 'black cat': polygon: expected numbers, got [3]")
    report.skip(Path('/data/a.json'), 4, '/data/images/4.jpg: expected 4x6, got 8x9')
    causes, first = by_cause(report.errors)
    assert dict(causes) == {'annotation * of *: polygon: expected numbers, got *': 2, '* expected *x*, got *x*': 1}
    assert list(first.values()) == ['a.json[images.0]', 'a.json[4]']


def test_table_of_what_was_dropped() -> None:
    report = SkipReport()
    assert drops_table(report) is None
    for number in range(25):
        report.skip(Path('a.json'), number, 'cause ' + 'x' * number)
    report.note('crowds, left out', 'images.3', 2)
    table = drops_table(report)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    out = capture.get()
    assert next(line for line in out.splitlines() if 'other causes' in line).split('│')[2].strip() == '5'
    assert 'crowds, left out' in out
    assert 'images.3' in out
    assert 'a.json[24]' not in out
    assert 'a.json[0]' in out
