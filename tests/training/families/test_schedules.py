"""Learning-rate schedules."""

from __future__ import annotations

import pytest

from instructsam_training.families.schedules import cosine_factor


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    factors = [cosine_factor(step, 100, 0.1) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[54] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0)
