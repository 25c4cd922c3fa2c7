"""Copies dataclasses with changed tensors, such as a batch to a device."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar('Record', bound='DataclassInstance')


def change_tensors(record: Record, change: Callable[[Tensor], Tensor], unchanged: Collection[str] = ()) -> Record:
    """Apply `change` to the tensors of a dataclass, nested ones included, except those named in `unchanged`."""
    changed: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor) and field.name not in unchanged:
            changed[field.name] = change(value)
        elif is_dataclass(value) and not isinstance(value, type):
            changed[field.name] = change_tensors(value, change, unchanged)
    return replace(record, **changed)
