"""The document: numbers, pictures and ablations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from instructsam_training.evaluation.report.compare import Result, milliseconds
from instructsam_training.evaluation.report.grid import Grid, as_markdown, interval, percent
from instructsam_training.evaluation.report.table import heading, speed_line

METRICS = ('mAP', 'gIoU', 'accuracy', 'cIoU', 'N-acc', 'T-acc')
EXPLANATION = """\
mAP, gIoU and cIoU are the paper's. accuracy is the share of questions with an IoU above 0.5, where nothing found is
right if there is nothing to find. N-acc is the share of questions without a target for which nothing was found, T-acc
the share of the others for which something was found. Numbers are percent, intervals of 95 %, by drawing pictures with
replacement. Scenes and wordings of the test are not in the training. Under "shuffled" each question was asked with the
instruction of another: what is left there needs no listening."""
PICTURES = """\
Of each kind some that are right (IoU above 0.5), and below some that are wrong, drawn at random. Green is the truth,
orange the answer."""
ABLATIONS = """\
All rows are trained with the same recipe and budget, and answer the same questions. "confirmed" where the full model's
mAP is higher, as in the paper, with the whole interval of the difference above 0. The paper's numbers are of the
full-size model on Inst2Seg. Where neither they nor their direction are at hand, nothing is said."""


def document(
    result: Result, shuffled: Result | None, sheets: Mapping[str, Path], ablations: Grid | None, machine: str
) -> str:
    """All of it as Markdown.

    Args:
        result: the evaluation.
        shuffled: the same with instructions that belong to other questions; None if there is none.
        sheets: pictures by kind, relative to the document.
        ablations: their table; None if there are none.
        machine: where the evaluation ran; may be empty.
    """
    return '\n\n'.join(_parts(result, shuffled, sheets, ablations, machine)) + '\n'


def _parts(
    result: Result, shuffled: Result | None, sheets: Mapping[str, Path], ablations: Grid | None, machine: str
) -> Iterator[str]:
    yield '# The simulated tabletop'
    source = result.report['setting']['source']
    yield f'{heading(result.report)}, by the checkpoint {source}. `make tabletop-eval` repeats it for the embedded one.'
    yield as_markdown(_overall(result, shuffled))
    yield EXPLANATION
    yield as_markdown(_goals(result, shuffled))
    for dimension, title in (('targets', 'Number of targets'), ('kind', 'Kind of question')):
        yield f'## {title}'
        yield as_markdown(_strata(dimension, result, shuffled))
    if result.speed:
        yield '## Latency'
        yield f'{speed_line(result.speed)}.' + (f' On {machine}.' if machine else '')
        yield as_markdown(_stages(result))
    if ablations is not None:
        yield '## Ablations'
        yield as_markdown(ablations)
        yield ABLATIONS
    yield '## Pictures'
    yield PICTURES
    for kind, file in sheets.items():
        yield f'### {kind}'
        yield f'![questions of the kind {kind}]({file.as_posix()})'


def _overall(result: Result, shuffled: Result | None) -> Grid:
    rows = []
    for name in METRICS:
        last = [] if shuffled is None else [percent(shuffled.report['overall'][name])]
        ends = interval(result.report['intervals'].get(name))
        rows.append((name, percent(result.report['overall'][name]), ends, *last))
    return Grid(('', '%', 'interval', *_shuffled(shuffled, 'shuffled')), tuple(rows))


def _goals(result: Result, shuffled: Result | None) -> Grid:
    targets = result.report['strata']['targets']
    goals = [
        ('mAP', 0.60, result.report['overall']['mAP']),
        ('mAP of questions with one target', 0.75, targets['1']['mAP']),
        ('gIoU of questions without a target', 0.85, targets['0']['gIoU']),
    ]
    rows = [
        (what, f'at least {percent(goal)}', percent(value), 'yes' if value >= goal else 'no')
        for what, goal, value in goals
        if value is not None
    ]
    if shuffled is not None:
        value = shuffled.report['overall']['mAP']
        rows.append(('mAP with shuffled instructions', 'below 15.0', percent(value), 'yes' if value < 0.15 else 'no'))
    return Grid(('goal', '', 'reached', ''), tuple(rows))


def _strata(dimension: str, result: Result, shuffled: Result | None) -> Grid:
    names, rows = METRICS[:3], []
    for label, row in result.report['strata'][dimension].items():
        last = [] if shuffled is None else [percent(shuffled.report['strata'][dimension][label]['accuracy'])]
        rows.append((label, str(row['questions']), *(percent(row[name]) for name in names), *last))
    return Grid((dimension, 'questions', *names, *_shuffled(shuffled, 'accuracy, shuffled')), tuple(rows))


def _stages(result: Result) -> Grid:
    rows = [
        (name, milliseconds({'seconds': values}, 'p50'), milliseconds({'seconds': values}, 'p95'))
        for name, values in result.speed['stages'].items()
    ]
    return Grid(('stage', 'median, ms', '95 % within, ms'), tuple(rows))


def _shuffled(shuffled: Result | None, text: str) -> tuple[str, ...]:
    """The heading of the last column, if there is one."""
    return () if shuffled is None else (text,)
