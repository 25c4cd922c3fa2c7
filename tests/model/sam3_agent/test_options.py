"""Options of the back end `sam3_agent`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from instructsam_model import ConfigError
from instructsam_model.sam3.options import Sam3Options
from instructsam_model.sam3_agent.core.limits import Limits, Prices
from instructsam_model.sam3_agent.options import Sam3AgentOptions


@pytest.mark.parametrize(('given', 'rounds'), [({}, 20), ({'strict': True}, 101), ({'max_rounds': 7}, 7)])
def test_rounds_are_limited(given: dict[str, Any], rounds: int) -> None:
    assert Sam3AgentOptions(**given).limits.main_calls == rounds


def test_zero_is_no_limit() -> None:
    free = Sam3AgentOptions(max_seconds=0.0)
    assert free.limits == Limits(main_calls=20, reply_tokens=4096)
    assert (free.limits.calls, free.limits.seconds, free.limits.tokens, free.limits.cost) == (None,) * 4
    set_all = Sam3AgentOptions(
        max_rounds=5, max_calls=9, max_seconds=30.0, max_tokens=10000, max_cost=0.02, input_price=1.0, output_price=4.0
    )
    assert set_all.limits == Limits(5, 9, 30.0, 10000, 0.02, prices=Prices(1.0, 4.0))


def test_limit_of_the_cost_needs_a_price() -> None:
    with pytest.raises(ConfigError, match='max_cost: expected input_price or output_price'):
        Sam3AgentOptions(max_cost=0.02)


def test_options_of_sam3_are_its_own() -> None:
    options = Sam3AgentOptions(tokenizer='here', geometry_cls_token='on', max_mask_iou=0.9)
    passed_on = Sam3Options(**options.sam3_options)
    assert (passed_on.tokenizer, passed_on.geometry_cls_token, passed_on.max_mask_iou) == ('here', 'on', 0.9)
    assert passed_on.phrase_separator == '', 'a phrase of the language model is one phrase'
    assert set(options.sam3_options) == {each.name for each in fields(Sam3Options)}, 'every option can be set'


def test_no_option_takes_a_key() -> None:
    """Parameters of a node can be read by everyone on its network."""
    names = {each.name for each in fields(Sam3AgentOptions)}
    assert {name for name in names if 'key' in name or 'secret' in name} == {'api_key_env'}
