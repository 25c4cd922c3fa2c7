"""Types of published numbers, and the published latencies.

The numbers of a benchmark are in its file in `benchmarks/`. All are percent, and each names the table it is from. The
paper is arXiv 2605.26102.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SAM3I_V1, SAM3I_V4 = 'arXiv 2512.04585v1', 'arXiv 2512.04585v4'
"""Sources of the numbers of SAM3-I; those of v1 are from a leader board, and may be another paper's runs."""
ALL = 'all'
"""Stratum of all queries."""


@dataclass(frozen=True)
class PublishedResult:
    """Numbers of one method on one split of a benchmark.

    Attributes:
        method: name of the method.
        source: table of the paper, or another paper.
        numbers: percent, by stratum (`ALL`, a number of targets or a group) and metric.
    """

    method: str
    source: str
    numbers: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PublishedLatency:
    """Latency of one method, in seconds per instruction."""

    method: str
    source: str
    seconds: float


PUBLISHED_LATENCIES = (
    PublishedLatency('InstructSAM-2B (10 queries)', 'Table 10', 1.1),
    PublishedLatency('InstructSAM-2B (50 queries)', 'Table 6', 1.4),
    PublishedLatency('InstructSAM-2B (200 queries)', 'Table 6', 2.1),
    PublishedLatency('SAM3-Agent (Qwen3-VL-2B)', 'Table 10', 29.6),
)
