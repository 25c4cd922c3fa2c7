"""Reads the files of a golden set of SAM3-I; errors name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Load all tensors of a file; none if there is no such file.

    Raises:
        ValueError: the file is damaged.
    """
    if not file.is_file():
        return {}
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f'{file}: expected safetensors, got: {error}') from error


def read_object(file: Path) -> dict[str, Any]:
    """Load a JSON object.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has something else.
    """
    try:
        content = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{file}: expected JSON, got: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{file}: expected an object, got {type(content).__name__}')
    return content
