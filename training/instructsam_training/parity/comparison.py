"""`Comparison`: one part of a golden set, the files that it needs, and the function that compares it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from instructsam_training.parity.report import Difference, NotCompared


class Comparison(NamedTuple):
    """One part of the folder to compare.

    Attributes:
        name: printed if the folder does not have the part.
        files: files that it needs; patterns as for `Path.glob`.
        compare: returns the differences; none if the files have nothing to compare.
        optional: files of which each adds something to compare.
    """

    name: str
    files: tuple[str, ...]
    compare: Callable[[Path], Sequence[Difference | NotCompared]]
    optional: tuple[str, ...] = ()

    def missing(self, folder: Path) -> list[str]:
        """Return the files that the part needs and the folder lacks."""
        return [file for file in self.files if not any(folder.glob(file))]

    def missing_optional(self, folder: Path) -> list[str]:
        """Return the optional files that the folder lacks."""
        return [file for file in self.optional if not (folder / file).is_file()]
