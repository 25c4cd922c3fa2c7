"""Limits of a run and what it has used."""

from __future__ import annotations

from typing import Any

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.sam3_agent.core.limits import Limits, Prices, Spent, Usage


@pytest.mark.parametrize(
    'limits',
    [{'main_calls': 0}, {'calls': 0}, {'tokens': 0}, {'seconds': 0.0}, {'cost': float('nan')}, {'malformed': -1}],
)
def test_limits_that_allow_nothing_are_refused(limits: dict[str, Any]) -> None:
    [name] = limits
    with pytest.raises(ConfigError, match=f'{name}: expected'):
        Limits(**limits)


def test_usage_and_counts_add_up() -> None:
    usage = Usage(1000, 200, Prices(2.0, 10.0).cost(1000, 200)) + Usage(1, 2, 0.5)
    assert (usage.tokens, usage.cost) == (1203, pytest.approx(0.504))
    assert Spent(main_calls=2).plus(check_calls=3, main_calls=1).calls == 6
