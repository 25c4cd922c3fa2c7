"""Plots of measured results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instructsam_model.bench.stages import STAGES


def draw_stages(result: dict[str, Any], file: Path) -> None:
    """Plot a bar of stages for each scenario.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout='constrained')
    axes = figure.subplots()
    # Bars are drawn from the bottom upwards.
    names = list(result['scenarios'])[::-1]
    left = [0.0] * len(names)
    for stage in STAGES:
        # `rest` is a difference of measurements, which noise can make negative.
        widths = [max(result['scenarios'][name]['stages_ms'][stage], 0.0) for name in names]
        axes.barh(names, widths, left=left, label=stage)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_xlabel('ms of one run')
    axes.legend(fontsize='small', ncols=2)
    figure.savefig(file, dpi=110)


def draw_growth(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Plot the medians over the values of each setting.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(row['setting'] for row in rows))
    figure = Figure(figsize=(2.6 * len(settings), 2.6), layout='constrained')
    all_axes = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for axes, setting in zip(all_axes, settings, strict=True):
        mine = [row for row in rows if row['setting'] == setting]
        for scenario in mine[0]['p50_ms']:
            # Scenarios about the same frame do not run with several cameras.
            measured = [row for row in mine if scenario in row['p50_ms']]
            values = [str(row['value']) for row in measured]
            axes.plot(values, [row['p50_ms'][scenario] for row in measured], 'o-', label=scenario)
        axes.set(title=setting, ylim=(0, None))
    all_axes[0].set_ylabel('p50 ms')
    all_axes[0].legend(fontsize='small')
    figure.savefig(file, dpi=110)
