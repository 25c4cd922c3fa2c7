"""The learning-rate schedule and sums over processes.

Whole steps are tested in test_loop and test_fake_cuda.
"""

from __future__ import annotations

import pytest

from instructsam_training.engine.step import schedule


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[54] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0)
