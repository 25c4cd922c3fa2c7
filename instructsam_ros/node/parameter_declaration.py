"""Declares the fields of option classes as parameters of a node.

The fields are made with `parameter` (`instructsam_ros.options`) or with `option` of the model's package. All
functions work on an instance with default values: nested dataclasses are groups, whose names have the `prefix` of the
field's metadata, and so are mappings of dataclasses, whose names have the key.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from instructsam_model import ConfigError
from instructsam_ros.distribution import add_parameter_conversion
from instructsam_ros.node.parameter_checks import check_names, check_required, check_sources
from instructsam_ros.node.parameter_sources import read_sources
from instructsam_ros.options import Mutable

EXPECTED = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a number',
    str: 'text',
    tuple: 'a list of texts such as [left, right]',
}
"""What is expected of a value, by the type of the default."""

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


def declare(
    node: Node,
    defaults: T,
    created_with: Mapping[str, Any],
    *,
    renamed: Mapping[str, str] | None = None,
    required: Mapping[str, str] | None = None,
) -> T:
    """Declare every parameter on the node; return the values with the overrides of launch files and the command line.

    From now on, an integer is accepted for a floating-point number, and an empty list of any type for a list of texts:
    YAML and rcl read `5` and `[]` as such.

    Args:
        node: declares.
        defaults: the parameters.
        created_with: keyword arguments with which `Node` was initialized: where overrides come from.
        renamed: new names of parameters of earlier versions.
        required: see `check_required`.

    Raises:
        ConfigError: an override names a parameter or a node that does not exist (the message names similar ones), or
            has a value that is not allowed.
    """
    known = {each.name: each for each in declarations(defaults)}
    check_overrides(node, created_with, known, renamed=renamed, required=required)
    values = {name: _frozen(_declare(node, each)) for name, each in known.items()}
    add_parameter_conversion(node, partial(_convert_all, known))
    return _updated(defaults, values)


def check_overrides(
    node: Node,
    created_with: Mapping[str, Any],
    known: Collection[str],
    *,
    renamed: Mapping[str, str] | None = None,
    required: Mapping[str, str] | None = None,
) -> None:
    """Check the names of all parameters that launch files, the command line and the program give to a node.

    Args:
        node: logs warnings.
        created_with: as of `declare`, as the others.
        known: names of the parameters of the node.
        renamed: see `declare`.
        required: see `declare`.

    Raises:
        ConfigError: as `check_sources`, `check_names` and `check_required`.
    """
    given = [override.name for override in created_with.get('parameter_overrides') or ()]
    check_names(given, known, renamed or {})
    arguments = created_with.get('cli_args')
    sources = read_sources(sys.argv if arguments is None else arguments)
    full_name = node.get_fully_qualified_name()
    for warning in check_sources(sources, full_name, known, renamed or {}):
        node.get_logger().warning(warning)
    missing = {name: text for name, text in (required or {}).items() if name not in given}
    check_required(sources, full_name, known, missing)


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


def check_change(current: Any, parameters: list[Parameter[Any]], *, unconfigured: bool = False) -> SetParametersResult:
    """Return whether `change` accepts parameters, for `Node.add_on_set_parameters_callback`."""
    try:
        change(current, parameters, unconfigured=unconfigured)
    except ConfigError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _declare(node: Node, each: Declaration) -> Any:
    """Declare one parameter and return its value.

    Raises:
        ConfigError: the override has another type or is out of range.
    """
    # 1. Any type at first, as rclpy refuses an empty list, which has no type, with a traceback.
    value = node.declare_parameter(each.name, each.default, ParameterDescriptor(dynamic_typing=True)).value
    node.undeclare_parameter(each.name)
    # 2. The value in the type of the default.
    value = _convert(each, value)
    if each.range_ is not None and not each.range_[0] <= value <= each.range_[1]:
        low, high = each.range_
        raise ConfigError(f'parameter {each.name}: {value} is out of range; expected {low:g} to {high:.12g}')
    return node.declare_parameter(each.name, value, _descriptor(each), ignore_override=True).value


def _convert(each: Declaration, value: Any) -> Any:
    """Return the value of an override in the type of the default.

    Raises:
        ConfigError: it has another type.
    """
    kind = type(each.default)
    if kind is tuple and (value is None or len(value) == 0):
        return ['']  # empty texts are ignored, and rclpy has no type for an empty list
    if kind is tuple and not isinstance(value, str) and all(isinstance(item, str) for item in value):
        return value
    # bool is a subclass of int, and every int is a valid float.
    if type(value) is kind or (kind is float and type(value) is int):
        return kind(value)
    # Types are those of YAML: 'true' in quotes is text, and 5 without quotes is none.
    hint = ''
    if isinstance(value, str) and type(yaml.safe_load(value)) is kind:
        hint = '; remove the quotes'
    elif kind is str and value is not None:
        hint = '; put it in quotes'
    got = 'an empty list' if value is None else repr(value)
    raise ConfigError(f'parameter {each.name}: expected {EXPECTED[kind]}, got {got}{hint}')


def _convert_all(known: Mapping[str, Declaration], parameters: list[Parameter[Any]]) -> list[Parameter[Any]]:
    """Return parameters that are to be set, converted where they can be; rclpy rejects the others."""
    converted = []
    for each in parameters:
        kind = type(known[each.name].default) if each.name in known else None
        if kind is float and each.type_ == Parameter.Type.INTEGER:
            each = Parameter(each.name, value=float(each.value))
        elif kind is tuple and each.value is not None and not isinstance(each.value, str | float) and not each.value:
            each = Parameter(each.name, value=[''])
        converted.append(each)
    return converted


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
