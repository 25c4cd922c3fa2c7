"""Messages of packages that the node works without: whether they are installed, and their classes."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def has_message(type_name: str) -> bool:
    """Whether the package of a message `package/msg/Name` is installed and has it."""
    package, _, name = type_name.split('/')
    # There are forks of gpd_ros without messages, so look for the message as well.
    if find_spec(package) is None or find_spec(f'{package}.msg') is None:
        return False
    return hasattr(import_module(f'{package}.msg'), name)


def first_installed(*type_names: str) -> str:
    """The first of some equivalent messages that is installed; the first of all if none is."""
    return next(filter(has_message, type_names), type_names[0])


def load_message_type(type_name: str) -> type[Any]:
    """The class of a message `package/msg/Name`.

    Raises:
        ImportError: the package is not installed.
        AttributeError: it has no such message.
    """
    package, _, name = type_name.split('/')
    loaded: type[Any] = getattr(import_module(f'{package}.msg'), name)
    return loaded
