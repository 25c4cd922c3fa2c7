"""Reads the files of a golden set of SAM3-I; errors name the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

Value = TypeVar('Value')


class Content(dict[str, Value]):
    """Values of a file by name, which names the file if one is missing.

    Args:
        file: that they are of.
        values: by name.
    """

    def __init__(self, file: Path, values: Iterable[tuple[str, Value]]) -> None:
        super().__init__(values)
        self.file = file

    def __missing__(self, name: str) -> Value:
        raise ValueError(f'{self.file}: expected an entry {name!r}, got {", ".join(self) or "none"}')

    def of(self, prefix: str) -> Content[Value]:
        """Return the values whose names have a prefix, by name without it."""
        values = ((name.removeprefix(prefix), value) for name, value in self.items() if name.startswith(prefix))
        return Content(self.file, values)


def read_tensors(file: Path) -> Content[Tensor]:
    """Load all tensors of a file; none if there is no such file.

    Raises:
        ValueError: the file is damaged.
    """
    if not file.is_file():
        return Content(file, ())
    try:
        return Content(file, load_file(file).items())
    except SafetensorError as error:
        raise ValueError(f'{file}: expected safetensors, got: {error}') from error


def read_object(file: Path) -> Content[Any]:
    """Load a JSON object.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has something else.
    """
    try:
        content = json.loads(file.read_text(), object_pairs_hook=partial(Content, file))
    except json.JSONDecodeError as error:
        raise ValueError(f'{file}: expected JSON, got: {error}') from error
    if not isinstance(content, Content):
        raise ValueError(f'{file}: expected an object, got {type(content).__name__}')
    return content
