"""Metrics of a stage: one line of JSON per step and a progress bar."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from instructsam_model.files import write_atomically

VALIDATION_PREFIX = 'validation/'
"""Of the metrics of a validation, in the line of its step."""


class MetricsLogger:
    """Writes `metrics.jsonl` and `skipped.txt` of one stage, and shows its progress.

    Args:
        folder: of the stage.
        name: of the stage.
        steps: number of steps of the stage.
        done: number of steps done; lines of later steps, from a run that was killed, are removed.
        enabled: False in all processes but one, which write and show nothing.
    """

    def __init__(self, folder: Path, name: str, steps: int, done: int, *, enabled: bool) -> None:
        self.file = folder / 'metrics.jsonl'
        self._errors_file = folder / 'skipped.txt'
        self._enabled = enabled
        if enabled:
            # A killed run has lines after its last checkpoint; these steps are taken and written again.
            write_lines(self.file, [line for line in read_lines(self.file) if line['step'] <= done])
            keep_errors(self._errors_file, done)
        columns = (
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
        )
        self._progress = Progress(*columns, disable=not enabled)
        self._task = self._progress.add_task(name, total=steps, completed=done, note='')

    def __enter__(self) -> MetricsLogger:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def write(self, line: Mapping[str, Any], errors: list[str]) -> None:
        """Write the metrics of one step, and its samples that could not be read."""
        if not self._enabled:
            return
        with self.file.open('a') as file:
            # A step that was skipped has a loss that is not finite, for which JSON has no number.
            file.write(json.dumps({name: finite(value) for name, value in line.items()}) + '\n')
        if errors:
            with self._errors_file.open('a') as file:
                file.writelines(f'step {line["step"]}: {" ".join(error.split())}\n' for error in errors)
        note = f'loss {line["loss"]:.4f}  {line["images_per_s"]:.1f} images/s  {line["memory_gib"]:.1f} GiB'
        self._progress.update(self._task, completed=line['step'], note=note)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add metrics to the line of a step."""
        if self._enabled:
            lines = read_lines(self.file)
            write_lines(self.file, [{**line, **values} if line['step'] == step else line for line in lines])

    def show(self, note: str) -> None:
        """Show what is done at the moment."""
        self._progress.update(self._task, note=note)


def finite(value: Any) -> Any:
    """Return a value, or None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Read the lines of a `metrics.jsonl`, one per step; an incomplete last line, left by a crash, is ignored."""
    if not file.exists():
        return []
    lines = []
    for text in file.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            # Lines are appended one by one, so only the last one can be incomplete.
            break
    return lines


def keep_errors(file: Path, done: int) -> None:
    """Remove the lines of steps after `done` from a `skipped.txt`; these steps are taken again."""
    if file.exists():
        steps = [(line, re.match(r'step (\d+): ', line)) for line in file.read_text().splitlines(keepends=True)]
        with write_atomically(file) as draft:
            draft.write_text(''.join(line for line, step in steps if step and int(step[1]) <= done))


def write_lines(file: Path, lines: list[dict[str, Any]]) -> None:
    """Write all lines of a `metrics.jsonl` atomically."""
    with write_atomically(file) as draft:
        draft.write_text(''.join(json.dumps(line) + '\n' for line in lines))
