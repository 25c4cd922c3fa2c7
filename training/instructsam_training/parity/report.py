"""How far our numbers are from theirs, as a table for people and a line of JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Difference:
    """How far one result is from the expected one, over all the places where it was compared.

    Attributes:
        name: what was compared.
        largest_abs: max |ours - theirs|; infinite where shapes differ or a number is missing (NaN) on one side.
        largest_rel: max |ours - theirs| / max |theirs|.
        abs_tol: `largest_abs` may be so large; None when the absolute difference is not judged.
        rel_tol: `largest_rel` may be so large; None when the relative difference is not judged.
        passed: whether every comparison kept to the tolerances.
        count: how many comparisons this one sums up.
    """

    name: str
    largest_abs: float
    largest_rel: float
    abs_tol: float | None
    rel_tol: float | None
    passed: bool
    count: int = 1

    @classmethod
    def of(
        cls,
        name: str,
        ours: ArrayLike,
        theirs: ArrayLike,
        *,
        abs_tol: float | None = None,
        rel_tol: float | None = None,
    ) -> Difference:
        """Compare two arrays of numbers or truth values.

        Raises:
            ValueError: no tolerance was given.
        """
        if abs_tol is None and rel_tol is None:
            raise ValueError(f'{name}: expected abs_tol, rel_tol or both')
        largest_abs, largest_rel = _largest(np.asarray(ours, np.float64), np.asarray(theirs, np.float64))
        passed = (abs_tol is None or largest_abs <= abs_tol) and (rel_tol is None or largest_rel <= rel_tol)
        return cls(name, largest_abs, largest_rel, abs_tol, rel_tol, passed)

    @classmethod
    def of_texts(cls, name: str, ours: Sequence[str], theirs: Sequence[str]) -> Difference:
        """Compare texts, which must be identical: `largest_abs` is how many differ, `largest_rel` which share."""
        total = max(len(ours), len(theirs))
        differing = total - sum(our == their for our, their in zip(ours, theirs, strict=False))
        return cls(name, float(differing), differing / total if total else 0.0, 0.0, None, differing == 0, total)


@dataclass(frozen=True)
class Report:
    """What a comparison found.

    Attributes:
        folder: the folder that was compared.
        differences: one for each name, in the order in which they were first compared.
        absent: the parts that the folder does not have.
    """

    folder: Path
    differences: tuple[Difference, ...]
    absent: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing differs."""
        return bool(self.differences) and all(difference.passed for difference in self.differences)

    def to_json(self) -> str:
        """The report in one line; an infinite difference is written as null."""
        content = {
            'folder': str(self.folder),
            'passed': self.passed,
            'differences': [
                {key: None if value == math.inf else value for key, value in asdict(difference).items()}
                for difference in self.differences
            ],
            'absent': list(self.absent),
        }
        return json.dumps(content, allow_nan=False)


def sum_up(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """The largest difference of each name, so that a tensor that was compared for every picture is one row."""
    rows: dict[str, Difference] = {}
    for difference in differences:
        known = rows.get(difference.name)
        rows[difference.name] = difference if known is None else _worse(known, difference)
    return tuple(rows.values())


def print_report(report: Report, console: Console) -> None:
    """Print a table of the differences, what is absent, and the JSON line last."""
    table = Table(box=SIMPLE, pad_edge=False)  # fits into the 80 columns of a pipe
    table.add_column('compared', no_wrap=True)
    for heading in ('n', 'absolute', 'allowed', 'relative', 'allowed', ''):
        table.add_column(heading, justify='right', no_wrap=True)
    for difference in report.differences:
        table.add_row(
            difference.name,
            str(difference.count),
            f'{difference.largest_abs:.2e}',
            _tolerance(difference.abs_tol),
            f'{difference.largest_rel:.2e}',
            _tolerance(difference.rel_tol),
            '[green]same[/]' if difference.passed else '[bold red]DIFFERS[/]',
        )
    console.print(table)
    lines = [f'absent from {report.folder}: {", ".join(report.absent)}'] if report.absent else []
    console.print('\n'.join([*lines, report.to_json()]), soft_wrap=True, markup=False, highlight=False)


def _largest(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Largest absolute and relative difference."""
    if ours.shape != theirs.shape:
        return math.inf, math.inf
    if not ours.size:
        return 0.0, 0.0
    with np.errstate(invalid='ignore'):  # infinity less infinity; equal entries are 0 apart, whatever they are
        distance = np.where(ours == theirs, 0.0, np.abs(ours - theirs))
    largest_abs = float(np.nan_to_num(distance, nan=math.inf, posinf=math.inf).max())
    magnitude = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0))
    if largest_abs == 0:
        return 0.0, 0.0
    return largest_abs, largest_abs / magnitude if magnitude else math.inf


def _worse(one: Difference, other: Difference) -> Difference:
    return Difference(
        one.name,
        max(one.largest_abs, other.largest_abs),
        max(one.largest_rel, other.largest_rel),
        one.abs_tol,
        one.rel_tol,
        one.passed and other.passed,
        one.count + other.count,
    )


def _tolerance(value: float | None) -> str:
    return '' if value is None else f'{value:.0e}'
