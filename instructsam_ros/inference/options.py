"""`parameter`: fields of option classes that become ROS parameters, declared once. Imports no ROS.

    @dataclass(frozen=True)
    class StreamOptions(ParameterGroup):
        max_rate_hz: float = parameter(0.0, 'Hz; maximum rate of results.', range_=(0.0, 1000.0), name='max_rate')

`instructsam_ros.node.parameter_declaration` declares them on a node.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from instructsam_model.options import check_value

Mutable = Literal['always', 'unconfigured', 'never']


def parameter(
    default: Any,
    description: str,
    *,
    range_: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    mutable: Mutable = 'always',
    name: str = '',
) -> Any:
    """Declare a field that is a ROS parameter.

    Args:
        default: its type is that of the parameter.
        description: one or two sentences for users.
        range_: smallest and largest value allowed.
        choices: the values allowed; empty for any.
        mutable: whether it can be changed always, only while the node is unconfigured, or never after the start.
        name: of the parameter; empty for that of the field.
    """
    metadata = {'description': description, 'range': range_, 'choices': choices, 'mutable': mutable, 'name': name}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ParameterGroup:
    """Base class of dataclasses whose fields are declared with `parameter`, or are groups themselves.

    Raises:
        ConfigError: a value has the wrong type, is not one of the choices, or is out of range.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if 'description' in each.metadata and not is_dataclass(value):
                check_value(each, value)
