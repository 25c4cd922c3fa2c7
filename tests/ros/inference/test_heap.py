"""Freed memory goes back to the system, now and then."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_ros.inference import heap
from instructsam_ros.node.diagnostics import resident_bytes

BLOCK_BYTES, BLOCKS = 60_000, 2_000


def resident_mb() -> float:
    size = resident_bytes()
    if size is None:
        pytest.skip('/proc does not tell how much memory there is')
    return size / 1e6


def test_fragmented_memory_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = heap.HeapTrimmer()
    blocks = [np.ones(BLOCK_BYTES, dtype=np.uint8) for _ in range(BLOCKS)]
    survivors = blocks[::50]
    del blocks
    before_mb = resident_mb()
    kept.trim_heap()
    assert resident_mb() > before_mb - 10  # it was tidied when it began
    monkeypatch.setattr(heap, 'TRIM_PERIOD_S', 0.0)
    kept.trim_heap()
    assert resident_mb() < before_mb - 0.7 * BLOCKS * BLOCK_BYTES / 1e6
    assert all(survivor.all() for survivor in survivors)


def test_trim_heap_does_nothing_without_malloc_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, 'CDLL', lambda _: object())
    monkeypatch.setattr(heap, 'TRIM_PERIOD_S', 0.0)
    heap.HeapTrimmer().trim_heap()
