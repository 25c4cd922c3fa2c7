"""The renderer of the simulator, on machines that can render."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.render.render import Renderer


@contextmanager
def open_renderer(size_wh: tuple[int, int] = (320, 240)) -> Iterator[Renderer]:
    """A renderer; skips the test, with what to install, on machines that cannot render."""
    try:
        made = Renderer(size_wh)
    except RenderError as error:
        pytest.skip(str(error))
    yield made
    made.close()
