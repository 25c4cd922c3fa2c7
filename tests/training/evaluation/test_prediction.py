"""Files of predictions, also those of a killed process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.evaluation.prediction import PredictedMasks, PredictionLog, load_predictions, log_file


def write(file: Path, *predictions: PredictedMasks) -> None:
    with PredictionLog(file) as log:
        for prediction in predictions:
            log.append(prediction)


def test_predictions_are_read_as_written(tmp_path: Path, pixels: Callable[[int, int], Rle]) -> None:
    prediction = PredictedMasks(
        '7.0', (pixels(0, 3), pixels(5, 1)), (0.9, 1 / 3), 'a "cup"\n', 0.25, {'encode': 0.1}, 1.5
    )
    write(log_file(tmp_path, 0), prediction)
    assert load_predictions(tmp_path) == {'7.0': prediction}


@pytest.mark.parametrize('kept', [1, 20, -1])
def test_incomplete_last_line_is_dropped_and_overwritten(tmp_path: Path, kept: int) -> None:
    file = log_file(tmp_path, 0)
    write(file, PredictedMasks('a'), PredictedMasks('b'))
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:kept])
    assert load_predictions(tmp_path) == {'a': PredictedMasks('a')}
    write(file, PredictedMasks('c'))
    assert load_predictions(tmp_path) == {'a': PredictedMasks('a'), 'c': PredictedMasks('c')}


def test_first_prediction_of_all_processes_counts(tmp_path: Path) -> None:
    write(log_file(tmp_path, 0), PredictedMasks('a', text='first'), PredictedMasks('b', error='no such file'))
    write(
        log_file(tmp_path, 1),
        PredictedMasks('a', text='second'),
        PredictedMasks('b'),
        PredictedMasks('c', error='broken'),
    )
    predictions = load_predictions(tmp_path)
    assert [*predictions] == ['a', 'b', 'c']
    assert predictions['a'].text == 'first'
    assert not predictions['b'].error
    assert predictions['c'].error == 'broken'


def test_damaged_line_is_an_error_with_its_number(tmp_path: Path) -> None:
    file = log_file(tmp_path, 0)
    write(file, PredictedMasks('a'), PredictedMasks('b'))
    file.write_bytes(file.read_bytes().replace(b'"id": "a"', b'"id" "a"'))
    with pytest.raises(ConfigError, match=r'predictions-0.jsonl:1: expected a prediction'):
        load_predictions(tmp_path)
