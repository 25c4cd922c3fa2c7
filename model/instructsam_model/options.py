"""Options as fields of a frozen dataclass: type, default, description and limits are declared once.

Command-line flags, ROS parameters and documentation are made from these fields. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from instructsam_model.errors import ConfigError

REQUIRED: Any = MISSING
"""Default of an option that has none."""
Range = tuple[float, float]
"""Smallest and largest value allowed."""


def option(
    default: Any,
    description: str,
    *,
    range_: Range | None = None,
    choices: tuple[str, ...] = (),
    affects_results: bool = True,
) -> Any:
    """Declare a field of an `Options` class.

    Args:
        default: value of the type of the field, or `REQUIRED`.
        description: one or two sentences for users.
        range_: smallest and largest value allowed.
        choices: the values allowed; empty for any. A field of type `Literal` needs none.
        affects_results: whether other values give other results; otherwise it is about files, speed or memory only.
    """
    metadata = {
        'description': description,
        'range': range_,
        'choices': choices,
        'affects_results': affects_results,
    }
    return field(default=default, metadata=metadata)


def group(kind: type[Options], description: str) -> Any:
    """Declare a field of an `Options` class that is itself of an `Options` class, by default with its defaults."""
    return field(default_factory=kind, metadata={'description': description})


@dataclass(frozen=True)
class Options:
    """Base class of dataclasses whose fields are declared with `option` or `group`.

    Raises:
        ConfigError: a value has the wrong type, is not one of the choices, or is out of range.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in fields(self):
            check_value(each, getattr(self, each.name), hints[each.name])


def check_value(each: Field[Any], value: Any, kind: Any = None) -> None:
    """Check one value against its declaration.

    Args:
        each: the declared field.
        value: to check.
        kind: type of the field; None: that of its default.

    Raises:
        ConfigError: it has the wrong type, is not one of the choices, or is out of range.
    """
    check_type(each.name, value, type(each.default) if kind is None else kind)
    choices, range_ = each.metadata.get('choices'), each.metadata.get('range')
    if choices and value not in choices:
        raise ConfigError(f'{each.name}: expected one of {", ".join(choices)}, got {value!r}')
    # NaN is in no range. None is a value of its own, which the type allows.
    if range_ is not None and value is not None and not range_[0] <= value <= range_[1]:
        raise ConfigError(f'{each.name}: expected {format_range(range_)}, got {value!r}')


def format_range(range_: Range) -> str:
    """Return a range as text: `0 to 4096`."""
    return ' to '.join(str(bound) if isinstance(bound, int) else f'{bound:.10g}' for bound in range_)


def check_type(name: str, value: Any, kind: Any) -> None:
    """Check the type of a value; of each element, if it is a tuple.

    Args:
        name: of the option, for the message; elements are `name.0`.
        value: to check.
        kind: a class, `X | None`, `tuple[X, ...]` or `Literal[...]`.

    Raises:
        ConfigError: the value is of another type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is not None:
            check_type(name, value, *(each for each in arguments if each is not type(None)))
    elif origin is tuple:
        if not isinstance(value, tuple):
            raise ConfigError(f'{name}: expected a list, got {value!r}')
        for index, each in enumerate(value):
            check_type(f'{name}.{index}', each, arguments[0])
    elif origin is Literal:
        if value not in arguments:
            raise ConfigError(f'{name}: expected one of {", ".join(arguments)}, got {value!r}')
    else:
        _check_class(name, value, kind)


def _check_class(name: str, value: Any, kind: type) -> None:
    """Check that a value is of a class."""
    # bool is a subclass of int, and every int is a valid float
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ConfigError(f'{name}: expected {"a number" if kind is float else kind.__name__}, got {value!r}')


AnyOptions = TypeVar('AnyOptions', bound=Options)


def make_options(kind: type[AnyOptions], values: Mapping[str, Any], owner: str) -> AnyOptions:
    """Make an `Options` object of the given values and the defaults of the rest.

    Args:
        kind: the class.
        values: by name of the option.
        owner: what the options belong to, for error messages.

    Raises:
        ConfigError: an option is unknown (the message names similar ones), or a value is not allowed.
    """
    check_names(values, [each.name for each in fields(kind)], f'option of {owner}')
    return kind(**values)


def check_names(given: Iterable[str], known: Collection[str], noun: str) -> None:
    """Check names against the known ones.

    Raises:
        ConfigError: a name is unknown; the message names similar ones, or all if none is similar.
    """
    for name in given:
        if name not in known:
            # If none is similar, the message lists all of them.
            similar = difflib.get_close_matches(name, known, n=3) or sorted(known)
            hint = f'did you mean {" or ".join(similar)}?' if similar else 'there are none'
            raise ConfigError(f'{name}: no {noun}; {hint}')
