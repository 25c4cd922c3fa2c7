"""Declares the fields of option classes as parameters of a node.

The fields are made with `parameter` (`instructsam_ros.options`) or with `option` of the model's package. All
functions work on an instance with default values: nested dataclasses are groups, whose names have the `prefix` of the
field's metadata, and so are mappings of dataclasses, whose names have the key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from instructsam_model import ConfigError
from instructsam_ros.distribution import parameter_names
from instructsam_ros.options import Mutable

OWN_PREFIX = 'qos_overrides.'
OWN_NAMES = ('use_sim_time', 'start_type_description_service')
"""Parameters that rclpy declares itself."""

T = TypeVar('T')


@dataclass(frozen=True)
class Declaration:
    """One parameter.

    Attributes:
        name: with dots between groups.
        default: its type is that of the parameter.
        description: for users.
        range_: smallest and largest value; None for any.
        choices: the values allowed; empty for any.
        mutable: see `parameter`.
    """

    name: str
    default: Any
    description: str
    range_: tuple[float, float] | None
    choices: tuple[str, ...]
    mutable: Mutable


def declarations(defaults: Any, prefix: str = '') -> Iterator[Declaration]:
    """Return the parameters of a dataclass instance, those of nested groups included."""
    for each in fields(defaults):
        value = getattr(defaults, each.name)
        for nested, nested_prefix in _groups(value, each.metadata, prefix):
            yield from declarations(nested, nested_prefix)
        if 'description' in each.metadata:
            metadata = each.metadata
            yield Declaration(
                prefix + (metadata.get('name') or each.name),
                value,
                metadata['description'],
                metadata['range'],
                metadata['choices'],
                # Options of the model's package have no such entry: they take effect when the model is loaded.
                metadata.get('mutable', 'unconfigured'),
            )


def declare(node: Node, defaults: T) -> T:
    """Declare every parameter on the node; return the values with the overrides of launch files and the command line.

    Raises:
        ConfigError: a value is not allowed or of the wrong type.
    """
    values = {}
    for each in declarations(defaults):
        try:
            values[each.name] = _frozen(node.declare_parameter(each.name, each.default, _descriptor(each)).value)
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            raise ConfigError(f'parameter {each.name}: {error}') from error
    return _updated(defaults, values)


def change(current: T, parameters: list[Parameter[Any]], *, unconfigured: bool = False) -> T:
    """Return the values after setting `parameters`; parameters that are not declared here are ignored.

    Raises:
        ConfigError: a value is not allowed, or cannot be changed now.
    """
    known = {each.name: each for each in declarations(current)}
    values = {each.name: _frozen(each.value) for each in parameters if each.name in known}
    for name in values:
        if known[name].mutable == 'unconfigured' and not unconfigured:
            raise ConfigError(
                f'{name}: can be changed only while the node is unconfigured; '
                f'run ros2 lifecycle set with deactivate and cleanup first, then configure and activate again'
            )
    return _updated(current, values)


def check_overrides(node: Node, defaults: Any, renamed: Mapping[str, str]) -> None:
    """Check that all overrides of launch files and the command line name parameters that exist.

    Args:
        node: created with `automatically_declare_parameters_from_overrides`, which makes rclpy list the overrides; they
            are undeclared here, so that `declare` can declare them with their type and range.
        defaults: as of `declare`.
        renamed: new names of parameters of earlier versions.

    Raises:
        ConfigError: a parameter does not exist; the message names similar ones.
    """
    known = [each.name for each in declarations(defaults)]
    given = [name for name in parameter_names(node) if name not in OWN_NAMES]
    # Undeclare all before any check: an error must not leave some of them declared.
    for name in given:
        node.undeclare_parameter(name)
    for name in given:
        if name not in known and not name.startswith(OWN_PREFIX):
            similar = [renamed[name]] if name in renamed else _similar(name, known)
            hint = f'did you mean {" or ".join(similar)}?' if similar else 'config/perception.yaml lists all of them'
            raise ConfigError(f'parameter {name}: no such parameter; {hint}')


def _similar(name: str, known: Iterable[str]) -> list[str]:
    # The usual mistake is to forget the group, such as `engine` for `instructsam.engine`.
    by_last_part = [each for each in known if each.rpartition('.')[2] == name.rpartition('.')[2]]
    return by_last_part or difflib.get_close_matches(name, list(known), n=3)


def _groups(value: Any, metadata: Mapping[str, Any], prefix: str) -> Iterator[tuple[Any, str]]:
    """Return the groups in a field's value, each with the prefix of its parameters."""
    if is_dataclass(value):
        own = metadata.get('prefix', '')
        yield value, prefix + (f'{own}.' if own else '')
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield each, f'{prefix}{key}.'


def _updated(current: Any, values: Mapping[str, Any], prefix: str = '') -> Any:
    """Return a dataclass instance with the values of parameters replaced, nested groups included."""
    changes: dict[str, Any] = {}
    for each in fields(current):
        value = getattr(current, each.name)
        name = prefix + (each.metadata.get('name') or each.name)
        if is_dataclass(value):
            [(nested, nested_prefix)] = _groups(value, each.metadata, prefix)
            changes[each.name] = _updated(nested, values, nested_prefix)
        elif isinstance(value, Mapping):
            changes[each.name] = {key: _updated(nested, values, f'{prefix}{key}.') for key, nested in value.items()}
        elif name in values:
            changes[each.name] = values[name]
    # The dataclass knows its fields, not the group that it is in.
    try:
        return replace(current, **changes)
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(prefix) else f'{prefix}{error}') from error


def _frozen(value: Any) -> Any:
    # Parameters that are arrays are lists in rclpy, and tuples in frozen dataclasses.
    return tuple(value) if isinstance(value, list) else value


def _descriptor(each: Declaration) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=each.description,
        additional_constraints=f'one of {", ".join(each.choices)}' if each.choices else '',
        read_only=each.mutable == 'never',
    )
    # rclpy checks ranges itself; choices are checked by `ParameterGroup`.
    if each.range_ is not None:
        low, high = each.range_
        if isinstance(each.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
