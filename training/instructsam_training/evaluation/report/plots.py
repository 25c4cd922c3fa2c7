"""The plots of a report, as one SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instructsam_training.evaluation.metrics import giou
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS
from instructsam_training.evaluation.scoring import Judged, Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES_AT = (0.5, 0.75)
WORDS_FROM = (1, 4, 7, 10, 15, 25, 40)
"""Fewest words of each part of the instructions."""
MOST_TARGETS = 5
COLORS = ('#0072b2', '#e69f00')


def plots(judged: Judged) -> str:
    """Precision over recall, how IoUs are distributed, and gIoU by words and by targets.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text stays text, and the same content gets the same names.
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'report', 'font.size': 9.0}):
        figure = Figure(figsize=(9.6, 6.4), layout='constrained')
        axes = figure.subplots(2, 2)
        _draw_curves(axes[0, 0], judged)
        axes[0, 1].hist(100 * judged.iou, bins=20, range=(0, 100), color=COLORS[0])
        axes[0, 1].set(title='IoU of questions', xlabel='%', ylabel='questions')
        _draw_parts(axes[1, 0], judged, *by_words(judged), 'gIoU by words of the instruction')
        _draw_parts(axes[1, 1], judged, *by_targets(judged), 'gIoU by number of targets')
        stream = io.StringIO()
        figure.savefig(stream, format='svg', metadata={'Date': None, 'Creator': None})
    svg = stream.getvalue()
    return svg[svg.index('<svg') :]


def precision_and_recall(judged: Judged, threshold: float) -> tuple[Numbers, Numbers]:
    """Precision and recall as ever lower scores are accepted, down to the lowest that is kept; (N,) each."""
    found = judged.is_right[:, IOU_THRESHOLDS.index(threshold)].cumsum()
    return found / np.arange(1, len(found) + 1), found / max(judged.target_count.sum(), 1.0)


def by_words(judged: Judged) -> tuple[list[str], list[Numbers]]:
    """Names of the parts, and which questions belong to each, as weights: by length of the instruction."""
    words = np.array([len(question.text.split()) for question in judged.questions])
    ends = [*WORDS_FROM[1:], np.inf]
    names = [f'{first}\N{EN DASH}{end - 1:.0f}' for first, end in zip(WORDS_FROM, ends, strict=True)]
    names[-1] = f'{WORDS_FROM[-1]}+'
    return names, [_weights((words >= first) & (words < end)) for first, end in zip(WORDS_FROM, ends, strict=True)]


def by_targets(judged: Judged) -> tuple[list[str], list[Numbers]]:
    """The same by number of targets."""
    count = judged.target_count.clip(max=MOST_TARGETS)
    names = [*map(str, range(MOST_TARGETS)), f'{MOST_TARGETS}+']
    return names, [_weights(count == number) for number in range(MOST_TARGETS + 1)]


def _weights(part: NDArray[np.bool_]) -> Numbers:
    return part.astype(np.float64)


def _draw_curves(axis: Axes, judged: Judged) -> None:
    for threshold, color in zip(CURVES_AT, COLORS, strict=True):
        precision, recall = precision_and_recall(judged, threshold)
        axis.plot(100 * recall, 100 * precision, color=color, label=f'IoU {threshold}')
    axis.set(title='Precision over recall', xlabel='recall, %', ylabel='%', xlim=(0, 100), ylim=(0, 102))
    axis.legend()


def _draw_parts(axis: Axes, judged: Judged, names: Sequence[str], parts: Sequence[Numbers], title: str) -> None:
    shown = [(name, part) for name, part in zip(names, parts, strict=True) if part.any()]
    bars = axis.bar([name for name, _ in shown], [100 * giou(judged, part) for _, part in shown], color=COLORS[0])
    axis.bar_label(bars, [f'{part.sum():.0f}' for _, part in shown])
    axis.set(title=title, ylabel='%', ylim=(0, 110), xlabel='above the bars: questions')
