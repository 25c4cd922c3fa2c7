"""Learning-rate schedules."""

from __future__ import annotations

import pytest

from instructsam_training.families.schedules import cosine_factor, inverse_root_factor


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    factors = [cosine_factor(step, 100, 0.1) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[54] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0)


def test_rates_of_sam3i_are_those_of_the_public_scheduler() -> None:
    """Values of the public code for stage 1 of 1,000 steps: peak 0.01024, warm-up and cool-down of 3 steps."""
    published = {
        0: 0.0,
        1: 0.0034133333333333333,
        3: 0.01024,
        4: 0.008868100134752654,
        100: 0.0017736200269505304,
        997: 0.0005617110984075558,
        999: 0.00018704951444520652,
    }
    for step, rate in published.items():
        assert 0.01024 * inverse_root_factor(step, 1000, 3, 3, 3) == pytest.approx(rate, rel=1e-12)
    # Without a warm-up the first step has the full rate.
    assert inverse_root_factor(0, 10, 3, 0, 0) == 1
