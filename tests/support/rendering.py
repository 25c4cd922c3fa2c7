"""The simulator's renderer, where this machine can draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.render.render import Renderer


@contextmanager
def open_renderer(size_wh: tuple[int, int] = (320, 240)) -> Iterator[Renderer]:
    """A renderer; the test is skipped where it cannot be had, and told what to install."""
    try:
        made = Renderer(size_wh)
    except RenderError as error:
        pytest.skip(str(error))
    yield made
    made.close()
