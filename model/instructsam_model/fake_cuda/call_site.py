"""Finds the line of code that called an operation."""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path

import torch

# With a slash at the end, because `torch` is also the beginning of `torchvision`.
_HIDDEN = tuple(
    str(folder) + '/' for folder in (Path(torch.__file__).parent, Path(__file__).parent, sysconfig.get_path('stdlib'))
)
_SITE = 'site-packages'


def find_call_site() -> str:
    """Return the line that called torch and the nearest line of this project: `a/x.py:7 < instructsam_model/y.py:9`.

    Frames of torch, the standard library and this package are skipped.
    """
    # From the innermost frame outwards.
    frame = sys._getframe(1)
    first = ''
    while frame is not None:
        name = _shorten(frame.f_code.co_filename)
        if name:
            line = f'{name}:{frame.f_lineno}'
            first = first or line
            if name.startswith('instructsam'):
                return line if line == first else f'{first} < {line}'
        frame = frame.f_back  # type: ignore[assignment]  # None behind the outermost
    return first or 'unknown'


@functools.lru_cache(maxsize=4096)
def _shorten(file: str) -> str:
    """Return a file's path relative to the parent of its package; empty for files to skip."""
    path = Path(file)
    if _SITE not in path.parts:
        if file.startswith(_HIDDEN) or file.startswith('<'):
            return ''
        start = next((number for number, part in enumerate(path.parts) if part.startswith('instructsam_')), -1)
        return '/'.join(path.parts[start:]) if start > 0 else path.name
    if file.startswith(_HIDDEN[0]):
        return ''
    return '/'.join(path.parts[path.parts.index(_SITE) + 1 :])
