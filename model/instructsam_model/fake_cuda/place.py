"""Where in the code an operation was asked for."""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path

import torch

_HIDDEN = tuple(
    str(folder) + '/' for folder in (Path(torch.__file__).parent, Path(__file__).parent, sysconfig.get_path('stdlib'))
)
_SITE = 'site-packages'


def find_place() -> str:
    """`transformers/models/x.py:7 < instructsam_model/y.py:9`: what called torch, and which line of ours led there.

    Frames of torch, of the standard library and of this package are passed over.
    """
    frame = sys._getframe(1)
    first = ''
    while frame is not None:
        name = _shorten(frame.f_code.co_filename)
        if name:
            place = f'{name}:{frame.f_lineno}'
            first = first or place
            if name.startswith('instructsam'):
                return place if place == first else f'{first} < {place}'
        frame = frame.f_back  # type: ignore[assignment]  # None behind the outermost
    return first or 'unknown'


@functools.lru_cache(maxsize=4096)
def _shorten(file: str) -> str:
    """A path from its package on; empty for a frame to pass over."""
    path = Path(file)
    if _SITE not in path.parts:
        if file.startswith(_HIDDEN) or file.startswith('<'):
            return ''
        start = next((number for number, part in enumerate(path.parts) if part.startswith('instructsam_')), -1)
        return '/'.join(path.parts[start:]) if start > 0 else path.name
    if file.startswith(_HIDDEN[0]):
        return ''
    return '/'.join(path.parts[path.parts.index(_SITE) + 1 :])
