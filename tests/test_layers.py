"""The arrows of the design: training -> model <- ROS shell, and files that one can read in one go."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

ROS = r'ament_\w+|cv_bridge|instructsam_ros|launch\w*|message_filters|rclpy|tf2\w*|\w+_(msgs|interfaces)'
LEARNING = r'accelerate|huggingface_hub|safetensors|tokenizers|torch|torchvision|transformers'
TRAINING = r'instructsam_training'
FORBIDDEN = {
    'model/instructsam_model': f'{ROS}|{TRAINING}',
    'training/instructsam_training': ROS,
    'instructsam_ros': f'{LEARNING}|{TRAINING}',
    'launch': f'{LEARNING}|{TRAINING}',
}
SIMULATION = ('instructsam_ros/tools/demo.py', 'instructsam_ros/sim/sim_camera.py')
"""Files that may use the simulated tabletop, and nothing else of the training package."""
EVALUATION = 'instructsam_ros/tools/evaluate.py'
"""May use the evaluation, so that the node and the network are judged by the same lines of code."""
MAX_LINES = 300


def imported_modules(source: str) -> set[str]:
    """Return the modules that a file imports, inside functions and for type checking too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def imported(source: str) -> set[str]:
    """Return the top-level names of `imported_modules`."""
    return {name.partition('.')[0] for name in imported_modules(source)}


def matching(pattern: str, names: set[str]) -> set[str]:
    return {name for name in names if re.fullmatch(pattern, name)}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob('*.py'))


@pytest.mark.parametrize('folder', FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    files = python_files(folder)
    wrong = {str(file.relative_to(ROOT)): matching(FORBIDDEN[folder], imported(file.read_text())) for file in files}
    for file in (*SIMULATION, EVALUATION):
        wrong.get(file, set()).discard(TRAINING)
    assert files
    assert {file: names for file, names in wrong.items() if names} == {}


@pytest.mark.parametrize(('file', 'part'), [*((file, 'tabletop') for file in SIMULATION), (EVALUATION, 'evaluation')])
def test_one_part_of_the_training_package_is_used_alone(file: str, part: str) -> None:
    modules = {name for name in imported_modules((ROOT / file).read_text()) if name.startswith(TRAINING)}
    assert modules
    assert {name for name in modules if not f'{name}.'.startswith(f'{TRAINING}.{part}.')} == set()


@pytest.mark.parametrize(
    ('source', 'names'),
    [
        ('import torch.nn.functional as F', {'torch'}),
        ('from rclpy.node import Node', {'rclpy'}),
        ('def f():\n    import cv_bridge', {'cv_bridge'}),
        ('from . import masks', set()),
    ],
)
def test_every_form_of_import_is_seen(source: str, names: set[str]) -> None:
    assert imported(source) == names


@pytest.mark.parametrize('module', ['messages.segmentation', 'node.parameters', 'inference.worker'])
def test_ros_shell_runs_without_torch(module: str) -> None:
    pytest.importorskip('rclpy', reason='rclpy is not installed')
    assert matching(FORBIDDEN['instructsam_ros'], modules_after_import(f'instructsam_ros.{module}')) == set()


@pytest.mark.parametrize('module', ['tools.demo', 'tools.evaluate', 'sim.sim_camera'])
def test_commands_load_neither_torch_nor_mujoco_before_they_need_them(module: str) -> None:
    pytest.importorskip('instructsam_ros.msg', reason='the messages of instructsam_ros are not built')
    assert matching(f'{LEARNING}|mujoco', modules_after_import(f'instructsam_ros.{module}')) == set()


def test_drawing_needs_no_torch() -> None:
    pytest.importorskip('mujoco', reason='the extra sim is not installed')
    assert matching(f'{LEARNING}|{ROS}', modules_after_import('instructsam_training.tabletop.render.render')) == set()


def test_types_of_the_model_load_without_torch() -> None:
    assert matching(f'{LEARNING}|{ROS}', modules_after_import('instructsam_model')) == set()


def modules_after_import(module: str) -> set[str]:
    """Import `module` in a fresh interpreter; return the top-level names of what came with it."""
    paths = [str(ROOT), str(ROOT / 'model'), str(ROOT / 'training')]
    code = f'import sys; sys.path[:0] = {paths}; import {module}; print(*sys.modules)'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return {name.partition('.')[0] for name in result.stdout.split()}


@pytest.mark.parametrize('folder', FORBIDDEN)
def test_files_are_short_enough_to_read(folder: str) -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in python_files(folder)}
    assert {file: lines for file, lines in lengths.items() if lines > MAX_LINES} == {}
