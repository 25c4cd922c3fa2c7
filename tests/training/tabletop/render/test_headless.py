"""Off-screen OpenGL in a process that loads torch later."""

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


def test_torch_can_be_loaded_after_the_context_is_opened() -> None:
    try:
        open_context((64, 48)).free()
    except RenderError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, '-c', PROGRAM], env={'PYTHONPATH': ':'.join(sys.path)}, check=False)
    assert done.returncode == 0, 'two LLVMs in one process'
