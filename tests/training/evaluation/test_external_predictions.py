"""Predictions from elsewhere: every form that is read, and what is wrong with one is listed, not fatal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.external_predictions import read_predictions, write_questions
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question

Run = Callable[[int, int], Rle]


@pytest.fixture
def questions(question: Callable[..., Question]) -> list[Question]:
    """Three, whose ids are not their numbers."""
    return [question(name) for name in ('4.0', '4.1', '5.0')]


@pytest.fixture
def read(save: Callable[[str, Any], Path], questions: list[Question]) -> Callable[..., dict[str, Answer]]:
    """What a file of these records answers; reasons for what is skipped in `read.reasons`."""

    def run(records: list[Any], name: str = 'predictions.json') -> dict[str, Answer]:
        report = SkipReport()
        answers = read_predictions(save(name, records), questions, report)
        run.reasons = [(error.index, error.reason) for error in report.errors]  # type: ignore[attr-defined]
        return answers

    return run


def test_coco_results_by_id_or_number(read: Callable[..., dict[str, Answer]], run: Run) -> None:
    rows = [('4.0', run(0, 3), 0.2), (2, run(1, 1), 1.0), ('4.0', run(5, 3), 0.7)]
    answers = read([{'image_id': i, 'category_id': 1, 'segmentation': rle, 'score': s} for i, rle, s in rows])
    assert answers['4.0'] == Answer('4.0', (run(5, 3), run(0, 3)), (0.7, 0.2))
    assert answers['4.1'] == Answer('4.1')
    assert answers['5.0'].masks == (run(1, 1),)
    assert read.reasons == []


def test_gseval_lines(read: Callable[..., dict[str, Answer]], run: Run) -> None:
    lines = [{'idx': 0, 'segmentation': run(0, 3)}, {'idx': 1, 'segmentation': None}]
    answers = read(lines, 'predictions.jsonl')
    assert answers['4.0'] == Answer('4.0', (run(0, 3),), (1.0,))
    assert answers['4.1'].masks == ()
    assert read.reasons == []


def test_results_of_the_public_scripts(read: Callable[..., dict[str, Answer]], run: Run) -> None:
    scored = {'idx': 1, 'instruction': 'Segment thing 4.1.', 'pred_rles': [run(0, 1), run(1, 1)]}
    answers = read([
        {'giou': 0.6, 'by_num_objects': {}},
        {**scored, 'pred_scores': [0.4, 0.8]},
        {'idx': 0, 'mask_rle': [None]},
        {'idx': 2, 'pred_mask_rle': [run(7, 1)]},
        {**scored, 'pred_scores': [0.5, 0.6]},
    ])  # fmt: skip
    # The repeat of a distributed sampler does not count, and an empty slot is no mask.
    assert answers['4.1'] == Answer('4.1', (run(1, 1), run(0, 1)), (0.8, 0.4))
    assert answers['4.0'].masks == ()
    assert answers['5.0'] == Answer('5.0', (run(7, 1),), (1.0,))
    assert read.reasons == []
    assert read([{'idx': 0, 'error': 'CUDA', 'iou': 0.0}])['4.0'].masks == ()


@pytest.mark.parametrize(
    ('record', 'reason'),
    [
        ({'image_id': '4.0', 'segmentation': {'size': [1, 100], 'counts': 'PPPP~'}, 'score': 1}, 'question 4.0: RLE'),
        ({'image_id': '4.0', 'segmentation': {'size': [2, 2], 'counts': '4'}, 'score': 1}, 'expected the size of the'),
        ({'image_id': '4.0', 'segmentation': {'size': [1, 100], 'counts': [100]}, 'score': None}, 'score: expected'),
        ({'image_id': 'x', 'segmentation': {}, 'score': 1}, "expected the id of a question, .* got 'x'"),
        ({'image_id': 3, 'segmentation': {}, 'score': 1}, 'its number below 3, got 3'),
        ({'idx': 0, 'instruction': 'Another thing.', 'pred_rles': []}, "expected an answer to 'thing 4.0'"),
        ({'idx': 0, 'pred_rles': [{}], 'pred_scores': []}, 'expected a score for each of 1 masks, got 0'),
        ({'idx': 0}, 'expected segmentation'),
        (7, 'expected an object, got int'),
    ],
)
def test_what_cannot_be_used_is_listed(
    read: Callable[..., dict[str, Answer]], run: Run, record: Any, reason: str
) -> None:
    good = {'image_id': '5.0', 'segmentation': run(0, 3), 'score': 0.5}
    answers = read([good, record])
    assert answers['4.0'].masks == ()
    assert answers['5.0'].masks == (run(0, 3),)
    [(index, found)] = read.reasons
    assert index == 1
    assert re.search(reason, found)


def test_a_file_without_any_use_is_an_error(read: Callable[..., dict[str, Answer]]) -> None:
    with pytest.raises(ConfigError, match=r'found none that can be used; the first that was skipped: .*\[0\]'):
        read([{'idx': 9, 'segmentation': None}])


def test_questions_for_others_to_answer(tmp_path: Path, questions: list[Question]) -> None:
    write_questions(questions, tmp_path / 'new' / 'questions.jsonl')
    lines = (tmp_path / 'new' / 'questions.jsonl').read_text().splitlines()
    assert len(lines) == 3
    assert '"number": 1, "id": "4.1", "image": "4.1.png", "text": "thing 4.1", "height": 1, "width": 100' in lines[1]
