"""The largest differences between our numbers and the expected ones, as a table and as one line of JSON."""

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
    """Largest difference of one result from the expected one, over all comparisons of the same name.

    Attributes:
        name: of the result.
        largest_abs: max |ours - theirs|; infinite where shapes differ or a number is missing (NaN) on one side.
        largest_rel: max |ours - theirs| / max |theirs|.
        abs_tol: upper limit of `largest_abs`; None if the absolute difference is not limited.
        rel_tol: upper limit of `largest_rel`; None if the relative difference is not limited.
        passed: whether all comparisons are within the limits.
        count: number of comparisons.
    """

    name: str
    largest_abs: float
    largest_rel: float
    abs_tol: float | None
    rel_tol: float | None
    passed: bool
    count: int = 1

    @classmethod
    def arrays(
        cls,
        name: str,
        ours: ArrayLike,
        theirs: ArrayLike,
        *,
        abs_tol: float | None = None,
        rel_tol: float | None = None,
    ) -> Difference:
        """Compare two arrays of numbers or booleans.

        Raises:
            ValueError: neither tolerance is given.
        """
        if abs_tol is None and rel_tol is None:
            raise ValueError(f'{name}: expected abs_tol, rel_tol or both')
        largest_abs, largest_rel = _largest_differences(np.asarray(ours, np.float64), np.asarray(theirs, np.float64))
        passed = (abs_tol is None or largest_abs <= abs_tol) and (rel_tol is None or largest_rel <= rel_tol)
        return cls(name, largest_abs, largest_rel, abs_tol, rel_tol, passed)

    @classmethod
    def texts(cls, name: str, ours: Sequence[str], theirs: Sequence[str]) -> Difference:
        """Compare texts, which must be equal; `largest_abs` is the number that differ, `largest_rel` their share."""
        total = max(len(ours), len(theirs))
        differing = total - sum(our == their for our, their in zip(ours, theirs, strict=False))
        return cls(name, float(differing), differing / total if total else 0.0, 0.0, None, differing == 0, total)

    @classmethod
    def counted(cls, name: str, number: int) -> Difference:
        """Return a row without a limit: `largest_abs` is a number that the reader should know."""
        return cls(name, float(number), 0.0, None, None, passed=True)


@dataclass(frozen=True)
class NotCompared:
    """Something in the folder that is not compared, and why."""

    what: str


@dataclass(frozen=True)
class ParityReport:
    """Differences of one folder.

    Attributes:
        folder: the folder that was compared.
        differences: one for each name, in the order in which they were first compared.
        absent: the parts that the folder does not have.
        not_compared: what the folder has and is not compared, each with the reason.
    """

    folder: Path
    differences: tuple[Difference, ...]
    absent: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing differs."""
        return bool(self.differences) and all(difference.passed for difference in self.differences)

    def to_json(self) -> str:
        """Return the report as one line of JSON; an infinite difference is null."""
        content = {
            'folder': str(self.folder),
            'passed': self.passed,
            'differences': [
                {key: None if value == math.inf else value for key, value in asdict(difference).items()}
                for difference in self.differences
            ],
            'absent': list(self.absent),
            'not_compared': list(self.not_compared),
        }
        return json.dumps(content, allow_nan=False)


def largest_by_name(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return the largest difference of each name: a tensor that was compared for every image is one row."""
    rows: dict[str, Difference] = {}
    for difference in differences:
        earlier = rows.get(difference.name)
        rows[difference.name] = difference if earlier is None else _merge(earlier, difference)
    return tuple(rows.values())


def print_report(report: ParityReport, console: Console) -> None:
    """Print a table of the differences, the absent parts, and last the line of JSON."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column('result', no_wrap=True)
    for heading in ('n', 'absolute', 'limit', 'relative', 'limit', ''):
        table.add_column(heading, justify='right', no_wrap=True)
    for difference in report.differences:
        table.add_row(
            difference.name,
            str(difference.count),
            f'{difference.largest_abs:.2e}',
            _format_limit(difference.abs_tol),
            f'{difference.largest_rel:.2e}',
            _format_limit(difference.rel_tol),
            _status(difference),
        )
    console.print(table)
    lines = [f'absent from {report.folder}: {", ".join(report.absent)}'] if report.absent else []
    lines += [f'not compared: {what}' for what in report.not_compared]
    console.print('\n'.join([*lines, report.to_json()]), soft_wrap=True, markup=False, highlight=False)


def _largest_differences(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Return the largest absolute and relative difference; infinite if the shapes differ."""
    if ours.shape != theirs.shape:
        return math.inf, math.inf
    if not ours.size:
        return 0.0, 0.0
    with np.errstate(invalid='ignore'):  # inf - inf is NaN, but equal entries do not differ
        distance = np.where(ours == theirs, 0.0, np.abs(ours - theirs))
    largest_abs = float(np.nan_to_num(distance, nan=math.inf, posinf=math.inf).max())
    # Relative to the largest finite value, not element by element: small elements may be rounding noise.
    magnitude = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0))
    if largest_abs == 0:
        return 0.0, 0.0
    return largest_abs, largest_abs / magnitude if magnitude else math.inf


def _merge(one: Difference, other: Difference) -> Difference:
    return Difference(
        one.name,
        max(one.largest_abs, other.largest_abs),
        max(one.largest_rel, other.largest_rel),
        one.abs_tol,
        one.rel_tol,
        one.passed and other.passed,
        one.count + other.count,
    )


def _status(difference: Difference) -> str:
    if not difference.passed:
        return '[bold red]DIFFERS[/]'
    # A row without a limit only tells a number.
    return '' if difference.abs_tol is None and difference.rel_tol is None else '[green]equal[/]'


def _format_limit(value: float | None) -> str:
    return '' if value is None else f'{value:.0e}'
