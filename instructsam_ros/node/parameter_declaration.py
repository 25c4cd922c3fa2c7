"""Parameters as the fields of a frozen dataclass: each is declared once, with all that there is to say about it."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from instructsam_model import ConfigError

Change = Literal['any time', 'while unconfigured', 'at start']


def declared(
    default: Any,
    description: str,
    *,
    range_: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    change: Change = 'any time',
    name: str = '',
) -> Any:
    """A field that is a parameter.

    Args:
        default: its type is that of the parameter.
        description: for people.
        range_: smallest and largest value.
        choices: all values that it may have; empty for any.
        change: when it may be changed.
        name: of the parameter, with dots for groups; empty for that of the field.
    """
    metadata = {'description': description, 'range': range_, 'choices': choices, 'change': change, 'name': name}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameters:
    """A consistent set of values of fields made with `declared`.

    Raises:
        ConfigError: a value is not among the choices.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            choices, value = each.metadata['choices'], getattr(self, each.name)
            if choices and value not in choices:
                raise ConfigError(f"{parameter_name(each)}: expected one of {', '.join(choices)}, got '{value}'")


P = TypeVar('P', bound=Parameters)


def parameter_name(each: Field[Any]) -> str:
    """The name of the parameter that a field is."""
    return str(each.metadata['name'] or each.name)


def declare(node: Node, kind: type[P]) -> P:
    """Declare every parameter on the node and read what launch files and the command line say about them.

    Raises:
        ConfigError: a value is not allowed or of the wrong type.
    """
    for each in fields(kind):
        name = parameter_name(each)
        try:
            node.declare_parameter(name, each.default, _descriptor(each))
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            raise ConfigError(f'parameter {name}: {error}') from error
    return kind(**{each.name: _frozen(node.get_parameter(parameter_name(each)).value) for each in fields(kind)})


def change(current: P, parameters: list[Parameter[Any]], *, unconfigured: bool = False) -> P:
    """The values after setting `parameters`; those of others, such as use_sim_time, are left alone.

    Raises:
        ConfigError: a value is not allowed, or cannot be changed now.
    """
    known = {parameter_name(each): each for each in fields(current)}
    values = {parameter.name: _frozen(parameter.value) for parameter in parameters if parameter.name in known}
    for name in values:
        if known[name].metadata['change'] == 'while unconfigured' and not unconfigured:
            raise ConfigError(
                f'{name}: can be changed only while the node is unconfigured; '
                f'run ros2 lifecycle set with deactivate and cleanup first, then configure and activate again'
            )
    return replace(current, **{known[name].name: value for name, value in values.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _descriptor(each: Field[Any]) -> ParameterDescriptor:
    metadata = each.metadata
    descriptor = ParameterDescriptor(
        description=metadata['description'],
        additional_constraints=f'one of {", ".join(metadata["choices"])}' if metadata['choices'] else '',
        read_only=metadata['change'] == 'at start',
    )
    if metadata['range'] is not None:
        low, high = metadata['range']
        if isinstance(each.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
