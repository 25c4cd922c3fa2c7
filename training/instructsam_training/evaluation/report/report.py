"""The report: every number of a benchmark, of the questions and the answers alone.

What depends on the machine, how long answers took and how much memory, is apart from it, so that a report is the same
byte for byte however it came about.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instructsam_training.datasets.io.segmentation import is_empty
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.bootstrap import intervals
from instructsam_training.evaluation.coco_ap import coco_average_precision
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.published import PAPER
from instructsam_training.evaluation.query import Question
from instructsam_training.evaluation.scoring import Judged, judge

Row = dict[str, float | int | None]
TARGET_COUNTS = ('0', '1', '>=2')


@dataclass(frozen=True)
class Setting:
    """What was asked for; part of the report.

    Attributes:
        split: of the benchmark.
        protocol: `trained` or `released`.
        min_score: predictions that score lower or equal are left out.
        source: the checkpoint, or the file of predictions.
        prompt: `published` or `plain`.
        shuffle: seed with which instructions were dealt to other questions; None when they were not.
    """

    split: str
    protocol: str
    min_score: float
    source: str
    prompt: str
    shuffle: int | None = None


def make_report(
    benchmark: Benchmark,
    setting: Setting,
    questions: Sequence[Question],
    answers: Mapping[str, Answer],
    skipped: Sequence[str],
) -> tuple[dict[str, Any], Judged]:
    """Every number, ready for JSON, and the questions judged one by one.

    Args:
        benchmark: what is computed.
        setting: what was asked for.
        questions: in the order of the data set, each id once.
        answers: by question.
        skipped: what could not be used besides: records, predictions.
    """
    pairs = [(question, answers[question.id]) for question in questions if question.id in answers]
    failed = [f'{question.id}: {answer.error}' for question, answer in pairs if answer.error]
    missing = [f'{question.id}: not answered' for question in questions if question.id not in answers]
    pairs = [(question, answer) for question, answer in pairs if not answer.error]
    if benchmark.released_leaves_out and setting.protocol == 'released':
        pairs = [(question, answer) for question, answer in pairs if _has_found(answer, setting.min_score)]
    judged = judge(pairs, setting.min_score, benchmark.rule_of(setting.protocol))
    everything = np.ones(len(pairs))
    metrics = {name: METRICS[name] for name in benchmark.metrics}
    overall = _row(judged, benchmark, everything)
    if benchmark.has_instances:
        overall |= coco_average_precision(pairs)
    report = {
        'benchmark': benchmark.name,
        'setting': {**vars(setting)},
        'questions': len(questions),
        'pictures': len({question.image for question in questions}),
        'answered': len(pairs),
        'nothing_found': int((judged.kept_count == 0).sum()),
        'overall': overall,
        'intervals': {name: list(ends) for name, ends in intervals(judged, metrics).items()} if pairs else {},
        'strata': {
            dimension: {name: _row(judged, benchmark, weights) for name, weights in strata.items()}
            for dimension, strata in strata_of(judged, benchmark).items()
        },
        'paper': PAPER.get((benchmark.name, setting.split), {}),
        'skipped': [*skipped, *failed, *missing],
    }
    return report, judged


def strata_of(judged: Judged, benchmark: Benchmark) -> dict[str, dict[str, np.ndarray]]:
    """Which questions belong to which part, as weights, by what the parts are about."""
    strata: dict[str, dict[str, np.ndarray]] = {}
    if benchmark.counts_targets:
        count = judged.target_count
        parts = zip(TARGET_COUNTS, (count == 0, count == 1, count >= 2), strict=True)
        strata['targets'] = {name: part.astype(np.float64) for name, part in parts}
    groups = np.array([question.group for question in judged.questions])
    names = sorted({*groups.tolist()} - {''})
    if benchmark.group and names:
        strata[benchmark.group] = {name: (groups == name).astype(np.float64) for name in names}
    return strata


def speed_of(answers: Sequence[Answer]) -> dict[str, Any]:
    """How long answers took, seconds, and the most memory; of the answers that were measured."""
    measured = [answer for answer in answers if answer.seconds]
    if not measured:
        return {}
    stages = {stage for answer in measured for stage in answer.stages}
    return {
        'answers': len(measured),
        'seconds': _percentiles([answer.seconds for answer in measured]),
        'stages': {stage: _percentiles([each.stages.get(stage, 0.0) for each in measured]) for stage in sorted(stages)},
        'peak_memory_gib': max(answer.memory_gib for answer in measured),
    }


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    part = file.with_name(f'.{file.name}.part')
    with part.open('w', encoding='utf-8') as stream:
        stream.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n')
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def _has_found(answer: Answer, min_score: float) -> bool:
    """Whether a mask that is kept covers a pixel."""
    pairs = zip(answer.masks, answer.scores, strict=True)
    return any(score > min_score and not is_empty(mask) for mask, score in pairs)


def _row(judged: Judged, benchmark: Benchmark, weights: np.ndarray) -> Row:
    row: Row = {'questions': int(weights.sum())}
    for name in benchmark.metrics:
        value = METRICS[name](judged, weights)
        row[name] = None if math.isnan(value) else value
    return row


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95]).tolist()
    return {'p50': p50, 'p95': p95, 'mean': float(np.mean(values))}
