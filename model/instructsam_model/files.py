"""Reading and writing small files: JSON objects, and text that must never be seen half written."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from instructsam_model.errors import CheckpointError


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object of a checkpoint.

    Raises:
        CheckpointError: the file is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise CheckpointError(f'{file}: no such file; every checkpoint has one') from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f'{file}: expected JSON, got {error}') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{file}: expected a JSON object, got {type(content).__name__}')
    return content


def write_atomically(file: Path, text: str) -> None:
    """Write a text file that readers see in its old or its new state, never in between; makes its folder.

    Raises:
        OSError: the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=f'.{file.name}-', dir=file.parent)
    try:
        with os.fdopen(descriptor, 'w', encoding='utf-8') as stream:
            stream.write(text)
        Path(draft).chmod(0o644)  # mkstemp makes it private
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
