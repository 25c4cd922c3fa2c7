"""Writing of report files; readers see the old content or the new one, never a part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from instructsam_model.files import write_atomically


def write_text(file: Path, text: str) -> None:
    """Write a text file atomically."""
    with write_atomically(file) as draft:
        draft.write_text(text, encoding='utf-8')


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + '\n')
