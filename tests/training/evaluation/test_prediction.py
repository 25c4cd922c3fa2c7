"""The file of answers: what a killed process leaves behind can be gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.evaluation.prediction import Answer, AnswerLog, log_of, read_answers


def note(file: Path, *answers: Answer) -> None:
    with AnswerLog(file) as log:
        for answer in answers:
            log.note(answer)


def test_answers_come_back_whole(tmp_path: Path, run: Callable[[int, int], Rle]) -> None:
    answer = Answer('7.0', (run(0, 3), run(5, 1)), (0.9, 1 / 3), 'a "cup"\n', 0.25, {'encode': 0.1}, 1.5)
    note(log_of(tmp_path, 0), answer)
    assert read_answers(tmp_path) == {'7.0': answer}


@pytest.mark.parametrize('kept', [1, 20, -1])
def test_an_unfinished_last_line_is_dropped_and_written_over(tmp_path: Path, kept: int) -> None:
    file = log_of(tmp_path, 0)
    note(file, Answer('a'), Answer('b'))
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:kept])
    assert read_answers(tmp_path) == {'a': Answer('a')}
    note(file, Answer('c'))
    assert read_answers(tmp_path) == {'a': Answer('a'), 'c': Answer('c')}


def test_answers_of_all_processes_count_once(tmp_path: Path) -> None:
    note(log_of(tmp_path, 0), Answer('a', text='first'), Answer('b', error='no such file'))
    note(log_of(tmp_path, 1), Answer('a', text='second'), Answer('b'), Answer('c', error='broken'))
    answers = read_answers(tmp_path)
    assert [*answers] == ['a', 'b', 'c']
    assert answers['a'].text == 'first'
    assert not answers['b'].error
    assert answers['c'].error == 'broken'


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = log_of(tmp_path, 0)
    note(file, Answer('a'), Answer('b'))
    file.write_bytes(file.read_bytes().replace(b'"id": "a"', b'"id" "a"'))
    with pytest.raises(ConfigError, match=r'answers-0.jsonl:1: expected an answer'):
        read_answers(tmp_path)
