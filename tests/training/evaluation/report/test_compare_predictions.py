"""Two evaluations side by side, sample for sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from instructsam_model.masks import Rle
from instructsam_training.evaluation.prediction import Answer, AnswerLog, log_of
from instructsam_training.evaluation.report.compare_predictions import main

Run = Callable[[int, int], Rle]


def note(folder: Path, *answers: Answer) -> str:
    with AnswerLog(log_of(folder, 0)) as log:
        for answer in answers:
            log.note(answer)
    return str(folder)


@pytest.fixture
def answers(run: Run) -> list[Answer]:
    found = Answer('a', (run(0, 3), run(5, 1)), (0.9, 1 / 3), 'a cup', seconds=0.25)
    return [found, replace(found, id='b'), Answer('c', error='c.png: damaged')]


def test_how_long_it_took_does_not_matter(
    tmp_path: Path, answers: list[Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    slower = [replace(answer, seconds=9.0, stages={'encode': 1.0}, memory_gib=3.0) for answer in answers]
    assert main([note(tmp_path / 'a', *answers), note(tmp_path / 'b', *reversed(slower))]) == 0
    [line] = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert (summary['samples'], summary['differ'], summary['largest_score_difference']) == (3, 0, 0.0)


def test_each_difference_counts(
    tmp_path: Path, answers: list[Answer], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answers[0]
    others = [
        replace(found, masks=(run(0, 4), run(5, 1)), text='a mug'),
        replace(found, id='b', scores=(0.9 + 2**-50, 1 / 3 + 0.25)),
        Answer('c', error='c.png: gone'),
        Answer('d'),
    ]
    assert main([note(tmp_path / 'a', *answers), note(tmp_path / 'b', *others)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ['a: masks, text', 'b: scores', 'c: error', 'd: missing']
    assert json.loads(last) == {
        'samples': 4, 'differ': 4, 'masks': 1, 'scores': 1, 'text': 1, 'error': 1, 'missing': 1,
        'largest_score_difference': pytest.approx(0.25),
    }  # fmt: skip


def test_many_differences_are_not_all_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = note(tmp_path / 'a', *(Answer(str(number)) for number in range(30)))
    other = note(tmp_path / 'b', *(Answer(str(number), text='x') for number in range(30)))
    assert main([first, other]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-2], json.loads(lines[-1])['differ']) == (12, 'and 20 more', 30)


def test_nothing_to_compare(tmp_path: Path, answers: list[Answer], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([note(tmp_path / 'a', *answers), str(tmp_path / 'nowhere')]) == 2
    assert 'nowhere: expected the folder of an evaluation' in capsys.readouterr().err
