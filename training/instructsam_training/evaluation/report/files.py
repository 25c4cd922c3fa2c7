"""Atomic writing of report files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically: readers see the old content or the new one, never a part of it."""
    part = file.with_name(f'.{file.name}.part')
    with part.open('w', encoding='utf-8') as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n')
