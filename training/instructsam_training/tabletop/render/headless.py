"""An OpenGL context without a screen: EGL, else OSMesa."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from ctypes.util import find_library
from typing import Any

BACKENDS = {'egl': ('EGL', 'libegl1 libgl1-mesa-dri'), 'osmesa': ('OSMesa', 'libosmesa6')}
"""The library of each backend, and Debian's packages of it."""


class RenderError(RuntimeError):
    """Nothing can be drawn on this machine; the message says what to install."""


def open_context(size_wh: tuple[int, int]) -> Any:
    """Open a context of MuJoCo's and make it current; MUJOCO_GL (egl, osmesa) can choose its backend.

    Raises:
        RenderError: no backend's library is installed, or it refuses.
    """
    backend = _choose()
    with suppress(ImportError):
        # Mesa and Triton, which torch imports when transformers does, each bring an LLVM, and the process ends with a
        # segmentation fault when Triton's comes second.
        importlib.import_module('triton')
    try:
        context = importlib.import_module(f'mujoco.{backend}').GLContext(*size_wh)
        context.make_current()
    except Exception as error:  # PyOpenGL answers what is missing with whatever it stumbles over first
        package = BACKENDS[backend][1]
        raise RenderError(
            f'{backend}: expected a context to draw in, got: {error}; try apt install {package}'
        ) from error
    return context


def _choose() -> str:
    """The backend asked for, else the first that is installed: PyOpenGL cannot change it once one was tried."""
    asked = os.environ.get('MUJOCO_GL', '').lower()
    if asked in BACKENDS:
        return asked
    for backend, (library, _) in BACKENDS.items():
        if find_library(library) is not None:
            return backend
    packages = ' or '.join(package for _, package in BACKENDS.values())
    raise RenderError(f'drawing without a screen: expected EGL or OSMesa, found neither; apt install {packages}')
