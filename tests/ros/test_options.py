"""Option classes check their values when they are created."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from instructsam_model import ConfigError
from instructsam_ros.options import ParameterGroup, parameter


@dataclass(frozen=True)
class Lamp(ParameterGroup):
    brightness: float = parameter(0.5, 'Brightness.', range_=(0.0, 1.0))
    color: str = parameter('red', 'Color.', choices=('red', 'green'), mutable='unconfigured', name='hue')


def test_defaults_are_valid() -> None:
    assert Lamp() == Lamp(brightness=0.5, color='red')


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ({'brightness': 2.0}, 'brightness: expected 0 to 1, got 2.0'),
        ({'brightness': 'high'}, "brightness: expected a number, got 'high'"),
        ({'color': 'blue'}, "color: expected one of red, green, got 'blue'"),
    ],
)
def test_invalid_values_raise(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Lamp(**values)
    assert str(caught.value) == said
