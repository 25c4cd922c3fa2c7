"""An OpenGL context without a screen: EGL, else OSMesa."""

from __future__ import annotations

import importlib
import os
from typing import Any

PACKAGES = {'egl': 'libegl1 libgl1-mesa-dri', 'osmesa': 'libosmesa6'}
"""Debian's package with each backend."""


class RenderError(RuntimeError):
    """Nothing can be drawn on this machine; the message says what to install."""


def open_context(size_wh: tuple[int, int]) -> Any:
    """Open a context and make it current; MUJOCO_GL (egl, osmesa) can choose its backend.

    Raises:
        RenderError: MuJoCo is not installed, or no backend works.
    """
    chosen = os.environ.get('MUJOCO_GL', '').lower()
    failures = []
    for backend in (chosen,) if chosen in PACKAGES else tuple(PACKAGES):
        try:
            context = importlib.import_module(f'mujoco.{backend}').GLContext(*size_wh)
            context.make_current()
        except Exception as error:  # PyOpenGL answers a missing library with whatever it stumbles over first
            failures.append(f'{backend} ({PACKAGES[backend]}): {error}')
            os.environ.pop('PYOPENGL_PLATFORM', None)  # which the failed backend set, and the next one refuses
        else:
            return context
    raise RenderError(f'no OpenGL without a screen; apt install one of these. {"; ".join(failures)}')
