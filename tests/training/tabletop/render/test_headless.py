"""OpenGL without a screen, beside everything else that a process loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip('mujoco')

from instructsam_training.tabletop.render.headless import RenderError, open_context

PROGRAM = """
from instructsam_training.tabletop.render.headless import open_context
context = open_context((64, 48))
from transformers import Sam3Model
import torch._dynamo
"""


def test_a_network_may_be_loaded_after_the_first_picture() -> None:
    try:
        open_context((64, 48)).free()
    except RenderError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, '-c', PROGRAM], env={'PYTHONPATH': ':'.join(sys.path)}, check=False)
    assert done.returncode == 0, 'two LLVMs in one process'
