"""`EvaluationResult`: what an evaluation returns to Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class EvaluationResult:
    """Report of an evaluation.

    Attributes:
        folder: with `report.json`, `report.html` and the predictions.
        report: content of `report.json`.
        speed: content of `speed.json`; empty if predictions were read from a file.
    """

    folder: Path
    report: Mapping[str, Any]
    speed: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics over all queries, 0..1, by name; None where a metric is undefined."""
        return {name: value for name, value in self.report['overall'].items() if name != 'queries'}

    @property
    def skipped(self) -> list[str]:
        """What was skipped and why: records, images, and predictions that failed."""
        return list(self.report['skipped'])
