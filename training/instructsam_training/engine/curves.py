"""`curves.png`: losses, gradient norm, learning rates, throughput and validation metrics of a stage over its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructsam_model.files import write_atomically
from instructsam_training.engine.metrics_logger import VALIDATION_PREFIX, read_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSSES = ('loss', 'text', 'bce', 'dice', 'box', 'score')
"""Of InstructSAM, in the curves."""
SAM3I_LOSSES = (
    'loss', 'box_l1', 'giou', 'score', 'presence', 'mask', 'dice', 'region', 'region_dice', 'kl', 'hard', 'infonce',
    'margin',
)  # fmt: skip
COLUMNS = 4
RATE_PREFIX = 'rate/'
MAX_VALIDATION_METRICS = 4

Lines = Sequence[Mapping[str, Any]]


def learning_rates(groups: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the learning rate of each group of an optimizer as metrics of a step."""
    return {f'{RATE_PREFIX}{group.get("name", number)}': float(group['lr']) for number, group in enumerate(groups)}


def draw_curves(metrics_file: Path, image: Path) -> None:
    """Plot the metrics of all steps so far; nothing if there are none."""
    lines = read_lines(metrics_file)
    if not lines:
        return
    # Imported here, because it takes a second. Without pyplot, whose back end belongs to the caller: a notebook would
    # show no figures any more.
    from matplotlib.figure import Figure

    losses = LOSSES if 'text' in lines[-1] else SAM3I_LOSSES
    panels = [
        *(name for name in losses if name in lines[-1]),
        *(['grad_norm'] if 'grad_norm' in lines[-1] else []),
        'rate',
        'images_per_s',
        *_validated(lines),
    ]
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(14, 3 * rows), layout='constrained')
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis, name in zip(axes.flat, panels, strict=False):
        _draw(axis, name, lines)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    figure.supxlabel('step')
    with write_atomically(image) as draft:
        figure.savefig(draft, dpi=100, format='png')


def _validated(lines: Lines) -> list[str]:
    """Names of the metrics of the validations, the benchmark's most important ones."""
    names = dict.fromkeys(name for line in lines for name in line if name.startswith(VALIDATION_PREFIX))
    return [*names][:MAX_VALIDATION_METRICS]


def _draw(axis: Axes, name: str, lines: Lines) -> None:
    """Draw one metric; of the learning rates, those of all groups."""
    rates = [key for key in lines[-1] if key.startswith(RATE_PREFIX)]
    curves = {curve: _points(lines, curve) for curve in (rates if name == 'rate' and rates else [name])}
    marker = 'o' if name.startswith(VALIDATION_PREFIX) else ''
    for curve, (steps, values) in curves.items():
        axis.plot(steps, values, linewidth=1, marker=marker, markersize=3, label=curve)
    if len(curves) > 1:
        axis.legend(fontsize='small')
    axis.set_title(name)
    axis.grid(alpha=0.3)
    # A loss that is 0, such as `box` without box annotations, has no logarithm.
    if name in (*LOSSES, *SAM3I_LOSSES) and all(value > 0 for value in curves[name][1]):
        axis.set_yscale('log')


def _points(lines: Lines, name: str) -> tuple[list[int], list[float]]:
    """Return the steps and the values of a metric; steps without it, or in which it was not finite, are left out."""
    found = [(line['step'], line[name]) for line in lines if line.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]
