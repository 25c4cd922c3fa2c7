"""Predictions of two evaluations, compared query by query."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from instructsam_model.masks import Rle
from instructsam_training.evaluation.prediction import PredictedMasks, PredictionLog, log_file
from instructsam_training.evaluation.report.compare_predictions import main

MakeMask = Callable[[int, int], Rle]


def write(folder: Path, *predictions: PredictedMasks) -> str:
    with PredictionLog(log_file(folder, 0)) as log:
        for prediction in predictions:
            log.append(prediction)
    return str(folder)


@pytest.fixture
def predictions(pixels: MakeMask) -> list[PredictedMasks]:
    found = PredictedMasks('a', (pixels(0, 3), pixels(5, 1)), (0.9, 1 / 3), 'a cup', seconds=0.25)
    return [found, replace(found, id='b'), PredictedMasks('c', error='c.png: damaged')]


def test_latency_is_not_compared(
    tmp_path: Path, predictions: list[PredictedMasks], capsys: pytest.CaptureFixture[str]
) -> None:
    slower = [replace(prediction, seconds=9.0, stages={'encode': 1.0}, memory_gib=3.0) for prediction in predictions]
    assert main([write(tmp_path / 'a', *predictions), write(tmp_path / 'b', *reversed(slower))]) == 0
    [line] = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert (summary['queries'], summary['different'], summary['largest_score_difference']) == (3, 0, 0.0)


def test_every_kind_of_difference_is_reported(
    tmp_path: Path, predictions: list[PredictedMasks], pixels: MakeMask, capsys: pytest.CaptureFixture[str]
) -> None:
    found = predictions[0]
    others = [
        replace(found, masks=(pixels(0, 4), pixels(5, 1)), text='a mug'),
        replace(found, id='b', scores=(0.9 + 2**-50, 1 / 3 + 0.25)),
        PredictedMasks('c', error='c.png: gone'),
        PredictedMasks('d'),
    ]
    assert main([write(tmp_path / 'a', *predictions), write(tmp_path / 'b', *others)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ['a: masks, text', 'b: scores', 'c: error', 'd: missing']
    assert json.loads(last) == {
        'queries': 4, 'different': 4, 'masks': 1, 'scores': 1, 'text': 1, 'error': 1, 'missing': 1,
        'largest_score_difference': pytest.approx(0.25),
    }  # fmt: skip


def test_long_lists_of_differences_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / 'a', *(PredictedMasks(str(number)) for number in range(30)))
    other = write(tmp_path / 'b', *(PredictedMasks(str(number), text='x') for number in range(30)))
    assert main([first, other]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-2], json.loads(lines[-1])['different']) == (12, 'and 20 more', 30)


def test_folder_without_predictions_is_an_error(
    tmp_path: Path, predictions: list[PredictedMasks], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([write(tmp_path / 'a', *predictions), str(tmp_path / 'nowhere')]) == 2
    assert 'nowhere: expected the folder of an evaluation' in capsys.readouterr().err
