"""The renderer of the simulated tabletop, if this machine has off-screen OpenGL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import SceneView


@contextmanager
def open_renderer(size_wh: tuple[int, int] = (320, 240)) -> Iterator[Renderer]:
    """Yield a renderer; skip the test if there is none, with a message that says what to install."""
    try:
        renderer = Renderer(size_wh)
    except RenderError as error:
        pytest.skip(str(error))
    yield renderer
    renderer.close()


def view_digest(view: SceneView) -> str:
    """Return a text that differs if any array or object of two views differs."""
    content = hashlib.sha256()
    for array in (view.image_rgb, view.depth_m, view.labels, view.intrinsics, view.camera_pose):
        content.update(array.tobytes())
    return f'{content.hexdigest()} {view.objects}'
