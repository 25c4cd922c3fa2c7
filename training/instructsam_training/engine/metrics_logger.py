"""What a run reports: a line of JSON for each step, trackers, a progress bar, and the curves as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

CURVES = ('loss', 'text', 'bce', 'dice', 'box', 'score')


class MetricsLogger:
    """The lines of one stage, `metrics.jsonl`, and what is shown while it runs.

    Args:
        folder: of the stage.
        steps: how many there will be.
        done: how many are done; lines beyond them, of a run that died, are dropped.
        shown: whether this process shows anything.
    """

    def __init__(self, folder: Path, name: str, steps: int, done: int, *, shown: bool) -> None:
        self.file = folder / 'metrics.jsonl'
        self._skipped = folder / 'skipped.txt'
        self._shown = shown
        if shown:
            kept = [line for line in read_lines(self.file) if line['step'] <= done]
            self.file.write_text(''.join(json.dumps(line) + '\n' for line in kept))
        columns = (
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
        )
        self._progress = Progress(*columns, disable=not shown)
        self._task = self._progress.add_task(name, total=steps, completed=done, note='')

    def __enter__(self) -> MetricsLogger:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def write(self, line: Mapping[str, Any], skipped: list[str]) -> None:
        """Note one step."""
        if not self._shown:
            return
        with self.file.open('a') as file:
            file.write(json.dumps(line) + '\n')
        if skipped:
            with self._skipped.open('a') as file:
                file.writelines(f'step {line["step"]}: {reason}\n' for reason in skipped)
        note = f'loss {line["loss"]:.4f}  {line["images_per_s"]:.1f} images/s  {line["memory_gib"]:.1f} GiB'
        self._progress.update(self._task, completed=line['step'], note=note)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The steps of a journal; a last line cut off by a crash is dropped."""
    if not file.exists():
        return []
    lines = []
    for text in file.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def draw_curves(journal: Path, picture: Path) -> None:
    """Draw the losses over the steps, each in a panel of its own, with the learning rate."""
    import matplotlib as mpl

    mpl.use('Agg')
    from matplotlib import pyplot

    lines = read_lines(journal)
    if not lines:
        return
    figure, axes = pyplot.subplots(2, 4, figsize=(14, 6), constrained_layout=True, sharex=True)
    steps = [line['step'] for line in lines]
    for axis, name in zip(axes.flat, (*CURVES, 'rate', 'images_per_s'), strict=True):
        axis.plot(steps, [line[name] for line in lines], linewidth=1)
        axis.set_title(name)
        axis.grid(alpha=0.3)
        if name in CURVES and all(line[name] > 0 for line in lines):
            axis.set_yscale('log')
    figure.supxlabel('step')
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)
