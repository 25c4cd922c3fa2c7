"""Predictions from elsewhere, as answers to a benchmark's questions.

    COCO results        [{"image_id": "12.0", "category_id": 1, "segmentation": RLE, "score": 0.9}, ...]
    GSEval              {"idx": 7, "segmentation": RLE}, a line each
    the public scripts  [{summary}, {"idx": 0, "instruction": "...", "pred_rles": [RLE], "pred_scores": [0.9]}, ...]
                        or, without scores, "mask_rle" or "pred_mask_rle": [RLE or null, ...]
    an answers file     of an earlier evaluation

A question is meant by its id, or, where that is a whole number, by its place in the benchmark, from 0; `--questions`
writes both. A question of which the file says nothing was answered with nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, to_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question

Found = list[tuple[Any, Any]]
"""Masks in any form, with their scores."""

UNSCORED = ('mask_rle', 'pred_mask_rle')


def read_predictions(file: Path, questions: Sequence[Question], report: SkipReport) -> dict[str, Answer]:
    """An answer to each of the questions.

    Args:
        file: a JSON list, or JSON lines, in one of the forms above.
        questions: of the benchmark, in its order.
        report: gets the records and masks that cannot be used; others of the same question still count.

    Raises:
        ConfigError: the file cannot be read, or none of its records can be used.
    """
    by_id = {question.id: question for question in questions}
    found: dict[str, list[tuple[Rle, float]]] = {}
    for index, record in _records(file, report):
        try:
            question = _question(record, questions, by_id)
            predictions, are_all = _predictions(record)
        except ValueError as error:
            report.skip(file, index, str(error))
            continue
        if are_all and question.id in found:
            continue  # distributed samplers repeat questions; the first answer counts
        kept = found.setdefault(question.id, [])
        for mask, score in predictions:
            try:
                kept.append(_checked(mask, score, question))
            except ValueError as error:
                report.skip(file, index, f'question {question.id}: {error}')
    if not found:
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        raise ConfigError(f'{file}: expected predictions, found none that can be used{reason}')
    return {question.id: _answer(question, found.get(question.id, [])) for question in questions}


def write_questions(questions: Sequence[Question], file: Path) -> None:
    """Write what there is to predict, a line each."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open('w', encoding='utf-8') as stream:
        for number, question in enumerate(questions):
            height, width = question.size_hw
            line = {'number': number, 'id': question.id, 'image': str(question.image), 'text': question.text}
            stream.write(json.dumps({**line, 'height': height, 'width': width}) + '\n')


def _records(file: Path, report: SkipReport) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for raw in iter_records(file):
        try:
            record = json.loads(raw.text) if not raw.fault else None
        except ValueError as error:
            report.skip(file, raw.index, f'expected a JSON object: {error}')
            continue
        if not isinstance(record, dict):
            report.skip(file, raw.index, raw.fault or f'expected an object, got {type(record).__name__}')
        elif not (raw.index == 0 and not {'idx', 'image_id', 'id'} & record.keys()):  # the public scripts' summary
            yield raw.index, record


def _question(record: Mapping[str, Any], questions: Sequence[Question], by_id: Mapping[str, Question]) -> Question:
    """The question that a record is about."""
    name = next((record[key] for key in ('image_id', 'idx', 'id') if record.get(key) is not None), None)
    if str(name) in by_id:
        question = by_id[str(name)]
    elif isinstance(name, int) and 0 <= name < len(questions):
        question = questions[name]
    else:
        raise ValueError(f'expected the id of a question, or its number below {len(questions)}, got {name!r}')
    instruction = record.get('instruction')
    if isinstance(instruction, str) and question.text.lower() not in instruction.lower():
        raise ValueError(f'expected an answer to {question.text!r}, got one to {instruction!r}')
    return question


def _predictions(record: Mapping[str, Any]) -> tuple[Found, bool]:
    """The masks of a record with their scores, and whether they are all there are to its question."""
    if 'image_id' in record:
        return [(record.get('segmentation'), record.get('score'))], False
    if 'error' in record and not record.get('masks'):
        return [], True
    for masks, scores in (('pred_rles', 'pred_scores'), ('masks', 'scores')):
        if masks in record:
            return _paired(record[masks], record.get(scores)), True
    for key in UNSCORED:
        if key in record:
            return [(mask, 1.0) for mask in _list(record[key]) if mask is not None], True
    if 'segmentation' in record:
        return [] if record['segmentation'] is None else [(record['segmentation'], 1.0)], True
    raise ValueError(f'expected segmentation, pred_rles, {" or ".join(UNSCORED)}, got {sorted(record)}')


def _paired(masks: Any, scores: Any) -> Found:
    masks, scores = _list(masks), _list(scores)
    if len(masks) != len(scores):
        raise ValueError(f'expected a score for each of {len(masks)} masks, got {len(scores)}')
    return list(zip(masks, scores, strict=True))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f'expected a list, got {type(value).__name__}')
    return value


def _checked(mask: Any, score: Any, question: Question) -> tuple[Rle, float]:
    """A mask of the question's size, with a score that is a number."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f'score: expected a number, got {score!r}')
    return to_rle(mask, question.size_hw), float(score)


def _answer(question: Question, found: Sequence[tuple[Rle, float]]) -> Answer:
    best_first = sorted(found, key=lambda pair: -pair[1])
    return Answer(question.id, tuple(mask for mask, _ in best_first), tuple(score for _, score in best_first))
