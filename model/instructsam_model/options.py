"""Options as fields of a frozen dataclass: type, default, description and limits are declared once.

Command-line flags, ROS parameters and documentation are made from these fields. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from instructsam_model.errors import ConfigError


def option(
    default: Any, description: str, *, range_: tuple[float, float] | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """Declare a field of an `Options` class.

    Args:
        default: bool, int, float or str; its type is that of the option.
        description: one or two sentences for users.
        range_: smallest and largest value allowed.
        choices: the values allowed; empty for any.
    """
    return field(default=default, metadata={'description': description, 'range': range_, 'choices': choices})


@dataclass(frozen=True)
class Options:
    """Base class of dataclasses whose fields are declared with `option`.

    Raises:
        ConfigError: a value has the wrong type, is not one of the choices, or is out of range.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            check_value(each, getattr(self, each.name))


def check_value(each: Field[Any], value: Any) -> None:
    """Check one value against its declaration.

    Raises:
        ConfigError: it has the wrong type, is not one of the choices, or is out of range.
    """
    kind = type(each.default)
    # bool is a subclass of int, and every int is a valid float
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ConfigError(f'{each.name}: expected {kind.__name__}, got {value!r}')
    choices, range_ = each.metadata['choices'], each.metadata['range']
    if choices and value not in choices:
        raise ConfigError(f'{each.name}: expected one of {", ".join(choices)}, got {value!r}')
    if range_ is not None and not range_[0] <= value <= range_[1]:
        raise ConfigError(f'{each.name}: expected {range_[0]:g} to {range_[1]:g}, got {value!r}')


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
