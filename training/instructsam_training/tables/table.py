"""`Table`: what a table of the paper reports, and the numbers that are known of it.

A table is made of rows, each a model or a change of one, and columns, each a number of an evaluation. All numbers are
percent, except those of `SPEED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from instructsam_training.evaluation.published import ALL

FULL = 'full'
"""Name of the row of the whole method."""
LATENCY, MEMORY, CALLS = 'latency, s', 'memory, GiB', 'calls'
SPEED = (LATENCY, MEMORY)
"""Columns of speed: both are means over the queries, as in Table 10."""


@dataclass(frozen=True)
class Number:
    """One number of the report of an evaluation.

    Attributes:
        benchmark, split: of the evaluation.
        metric: name of a metric of the benchmark.
        stratum: `ALL`, or one of the strata of the report.
    """

    benchmark: str
    split: str
    metric: str
    stratum: str = ALL


@dataclass(frozen=True)
class Column:
    """A column: one number, or the mean of several."""

    heading: str
    parts: tuple[Number, ...]


@dataclass(frozen=True)
class Row:
    """A model that is evaluated, and what the paper reports for it.

    Attributes:
        name: on the command line, and of its folder.
        title: in the table.
        published: numbers of the paper by heading, as far as they are known.
        config: file of the training configuration that the model comes from; empty if it is the given checkpoint.
        options: of the back end, for changes of the inference.
        backend: that reads the checkpoint; empty: the one that can read it. Options of it are for this row only.
    """

    name: str
    title: str
    published: Mapping[str, float] = field(default_factory=dict)
    config: str = ''
    options: Mapping[str, Any] = field(default_factory=dict)
    backend: str = ''


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        number: in the paper.
        title: one line.
        columns: numbers of evaluations.
        rows: models; the first is the whole method.
        has_speed: the table has the columns `SPEED`.
        has_calls: the table has the column `CALLS`: calls of the language model of an agent, mean over the queries.
        compares_methods: the rows of the paper are other methods; else they are those of `rows`.
        note: what is not known, or not as in the paper.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    has_speed: bool = False
    has_calls: bool = False
    compares_methods: bool = False
    note: str = ''

    @property
    def evaluations(self) -> tuple[tuple[str, str], ...]:
        """Benchmarks and splits of the columns, each once."""
        # In the order of the columns, so that the first column is evaluated first.
        parts = (part for column in self.columns for part in column.parts)
        return tuple(dict.fromkeys((part.benchmark, part.split) for part in parts))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks, each once."""
        return tuple(dict.fromkeys(benchmark for benchmark, _ in self.evaluations))

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of all columns."""
        speed = (*(SPEED if self.has_speed else ()), *((CALLS,) if self.has_calls else ()))
        return (*(column.heading for column in self.columns), *speed)
