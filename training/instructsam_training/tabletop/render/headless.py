"""Off-screen OpenGL contexts: EGL, or OSMesa as an alternative."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from ctypes.util import find_library
from typing import Any

GL_LIBRARIES = {'egl': ('EGL', 'libegl1 libgl1-mesa-dri'), 'osmesa': ('OSMesa', 'libosmesa6')}
"""Library and Debian packages of each value of MUJOCO_GL."""


class RenderError(RuntimeError):
    """Off-screen rendering is not available; the message says what to install."""


def open_context(size_wh: tuple[int, int]) -> Any:
    """Open a MuJoCo OpenGL context and make it current; MUJOCO_GL (egl or osmesa) selects the library.

    Raises:
        RenderError: neither library is installed, or it cannot open a context.
    """
    backend = _choose()
    with suppress(ImportError):
        # Mesa and Triton (imported by torch) each contain an LLVM; the process crashes if Triton is loaded second.
        importlib.import_module('triton')
    try:
        context = importlib.import_module(f'mujoco.{backend}').GLContext(*size_wh)
        context.make_current()
    except Exception as error:  # PyOpenGL raises exceptions of any type for missing libraries
        package = GL_LIBRARIES[backend][1]
        raise RenderError(f'{backend}: expected an OpenGL context, got: {error}; try apt install {package}') from error
    return context


def _choose() -> str:
    """The library of MUJOCO_GL, else the first installed one: PyOpenGL cannot switch after the first attempt."""
    requested = os.environ.get('MUJOCO_GL', '').lower()
    if requested in GL_LIBRARIES:
        return requested
    for backend, (library, _) in GL_LIBRARIES.items():
        if find_library(library) is not None:
            return backend
    packages = ' or '.join(package for _, package in GL_LIBRARIES.values())
    raise RenderError(f'off-screen rendering: expected EGL or OSMesa, found neither; apt install {packages}')
