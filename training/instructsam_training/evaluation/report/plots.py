"""The plots of a report, as one SVG.

Notation: Q queries, N predictions above the score threshold.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instructsam_training.evaluation.metrics import giou
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS
from instructsam_training.evaluation.scoring import FloatArray, ScoredPredictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_THRESHOLDS = (0.5, 0.75)
WORD_COUNTS = (1, 4, 7, 10, 15, 25, 40)
"""Smallest number of words of each bar."""
MAX_TARGETS = 5
COLORS = ('#0072b2', '#e69f00')


def draw_plots(scored: ScoredPredictions) -> str:
    """Draw precision over recall, the histogram of IoUs, and gIoU by number of words and of targets.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text is not drawn as paths, and the ids in the SVG do not change from run to run.
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'report', 'font.size': 9.0}):
        figure = Figure(figsize=(9.6, 6.4), layout='constrained')
        axes = figure.subplots(2, 2)
        _draw_curves(axes[0, 0], scored)
        axes[0, 1].hist(100 * scored.iou, bins=20, range=(0, 100), color=COLORS[0])
        axes[0, 1].set(title='IoU of queries', xlabel='%', ylabel='queries')
        _draw_bars(axes[1, 0], scored, *bars_by_words(scored), 'gIoU by words of the instruction')
        _draw_bars(axes[1, 1], scored, *bars_by_targets(scored), 'gIoU by number of targets')
        # Without date and creator the SVG depends on the report alone.
        stream = io.StringIO()
        figure.savefig(stream, format='svg', metadata={'Date': None, 'Creator': None})
    # The XML declaration before <svg> is not allowed inside HTML.
    svg = stream.getvalue()
    return svg[svg.index('<svg') :]


def precision_and_recall(scored: ScoredPredictions, threshold: float) -> tuple[FloatArray, FloatArray]:
    """Return precision and recall (N,) at each score, highest first."""
    true_positives = scored.is_true_positive[:, IOU_THRESHOLDS.index(threshold)].cumsum()
    return true_positives / np.arange(1, len(true_positives) + 1), true_positives / max(scored.target_count.sum(), 1.0)


def bars_by_words(scored: ScoredPredictions) -> tuple[list[str], list[FloatArray]]:
    """Return the bars by number of words in the instruction: their names, and the weights (Q,) of their queries."""
    # Bar i has the instructions with WORD_COUNTS[i] words up to one less than WORD_COUNTS[i + 1].
    words = np.array([len(query.text.split()) for query in scored.queries])
    ends = [*WORD_COUNTS[1:], np.inf]
    names = [f'{first}\N{EN DASH}{end - 1:.0f}' for first, end in zip(WORD_COUNTS, ends, strict=True)]
    names[-1] = f'{WORD_COUNTS[-1]}+'
    return names, [_weights((words >= first) & (words < end)) for first, end in zip(WORD_COUNTS, ends, strict=True)]


def bars_by_targets(scored: ScoredPredictions) -> tuple[list[str], list[FloatArray]]:
    """Return the bars by number of targets: their names, and the weights (Q,) of their queries."""
    # The last bar has all queries with MAX_TARGETS targets or more.
    count = scored.target_count.clip(max=MAX_TARGETS)
    names = [*map(str, range(MAX_TARGETS)), f'{MAX_TARGETS}+']
    return names, [_weights(count == number) for number in range(MAX_TARGETS + 1)]


def _weights(mask: NDArray[np.bool_]) -> FloatArray:
    return mask.astype(np.float64)


def _draw_curves(axis: Axes, scored: ScoredPredictions) -> None:
    for threshold, color in zip(CURVE_THRESHOLDS, COLORS, strict=True):
        precision, recall = precision_and_recall(scored, threshold)
        axis.plot(100 * recall, 100 * precision, color=color, label=f'IoU {threshold}')
    axis.set(title='Precision over recall', xlabel='recall, %', ylabel='%', xlim=(0, 100), ylim=(0, 102))
    axis.legend()


def _draw_bars(
    axis: Axes, scored: ScoredPredictions, names: Sequence[str], strata: Sequence[FloatArray], title: str
) -> None:
    # Bars without queries are left out; their gIoU is undefined.
    nonempty = [(name, weights) for name, weights in zip(names, strata, strict=True) if weights.any()]
    bars = axis.bar(
        [name for name, _ in nonempty], [100 * giou(scored, weights) for _, weights in nonempty], color=COLORS[0]
    )
    axis.bar_label(bars, [f'{weights.sum():.0f}' for _, weights in nonempty])
    axis.set(title=title, ylabel='%', ylim=(0, 110), xlabel='above the bars: number of queries')
