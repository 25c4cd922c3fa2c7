"""Which code may import which: the three packages, their rooms (sub-packages), and libraries that load slowly.

`python -m pytest tests/test_layers.py -s` and `python -m tests.support.rooms` print each room with its imports.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from instructsam_model.backends import BUILT_IN
from tests.support import ROOT
from tests.support.rooms import (
    PACKAGES,
    PUBLIC,
    ROOMS,
    imported_names,
    imports,
    modules,
    python_files,
    room_graph,
    room_of,
    upward,
)

ROS = r'ament_\w+|cv_bridge|instructsam_ros|launch\w*|message_filters|rclpy|tf2\w*|\w+_(msgs|interfaces)'
TORCH = r'accelerate|huggingface_hub|safetensors|tokenizers|torch|torchvision|transformers'
TRAINING = 'instructsam_training'
FORBIDDEN = {
    'model/instructsam_model': f'{ROS}|{TRAINING}',
    'training/instructsam_training': ROS,
    'instructsam_ros': f'{TORCH}|{TRAINING}',
    'instructsam_ros/sim': TORCH,
    'instructsam_ros/tools': TORCH,
    'launch': f'{TORCH}|{TRAINING}',
}
"""Folder: a pattern of the top-level modules that its files do not import. The deepest folder applies."""
TORCH_FREE = (PUBLIC, 'base', 'backends', 'backend_arguments')
"""The rooms of the model that load without torch."""
INFERENCE_WITH_ROS = ('instructsam_ros/inference/pipeline.py',)
"""The files of instructsam_ros/inference that may import ROS."""
MAX_LINES = 300


def matching(pattern: str, names: set[str]) -> set[str]:
    return {name for name in names if re.fullmatch(pattern, name)}


def top_level_imports(source: str) -> set[str]:
    return {name.partition('.')[0] for _, name in imported_names(source)}


def forbidden_imports(folder: str, pattern: str) -> dict[str, set[str]]:
    """Return the forbidden imports of each file of a folder, without those of folders with a rule of their own."""
    own_rule = [ROOT / other for other in FORBIDDEN if other.startswith(f'{folder}/')]
    files = [file for file in python_files(folder) if not any(file.is_relative_to(other) for other in own_rule)]
    assert files
    found = {str(file.relative_to(ROOT)): matching(pattern, top_level_imports(file.read_text())) for file in files}
    return {file: names for file, names in found.items() if names}


def modules_after_import(*names: str) -> set[str]:
    """Import modules in a fresh interpreter; return the top-level names of all modules that were loaded."""
    paths = [str(folder) for folder in PACKAGES.values()]
    code = f'import sys; sys.path[:0] = {paths}; import {", ".join(names)}; print(*sys.modules)'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return {name.partition('.')[0] for name in result.stdout.split()}


@pytest.mark.parametrize(
    ('source', 'names'),
    [
        ('import torch.nn.functional as F', {'torch'}),
        ('from rclpy.node import Node', {'rclpy'}),
        ('def f():\n    import cv_bridge', {'cv_bridge'}),
        ('from . import masks', set()),
    ],
)
def test_imported_names_finds_every_form_of_import(source: str, names: set[str]) -> None:
    assert top_level_imports(source) == names


@pytest.mark.parametrize('folder', FORBIDDEN)
def test_packages_import_one_way(folder: str) -> None:
    assert forbidden_imports(folder, FORBIDDEN[folder]) == {}


def test_inference_imports_no_ros() -> None:
    found = forbidden_imports('instructsam_ros/inference', ROS.replace('instructsam_ros|', ''))
    assert {file: names for file, names in found.items() if file not in INFERENCE_WITH_ROS} == {}


def test_the_ros_package_imports_no_back_end() -> None:
    """Back ends are reached through the registry only."""
    found = [item for item in imports() if item.importer.startswith('instructsam_ros.')]
    found = [item for item in found if item.imported.startswith('instructsam_model')]
    assert found
    assert [str(item) for item in found if room_of(item.imported) in BUILT_IN] == []


@pytest.mark.parametrize('package', ROOMS)
def test_every_folder_is_a_room(package: str) -> None:
    folders = {
        name.split('.')[1]
        for name, file in modules().items()
        if name.startswith(f'{package}.') and file.name == '__init__.py'
    }
    assert folders - set(ROOMS[package]) == set()
    used = {room_of(name) for name in modules() if name.startswith(f'{package}.')}
    assert set(ROOMS[package]) - used == set()


@pytest.mark.parametrize('package', ROOMS)
def test_rooms_import_lower_rooms_only(package: str) -> None:
    found = {f'{item.importer} -> {item.imported}': str(item) for item in upward(package)}
    assert list(found.values()) == []


def test_the_decisions_of_the_agent_depend_on_no_model_and_no_file() -> None:
    """`core` is pure: what it decides is repeated from a transcript."""
    agent = 'instructsam_model.sam3_agent'
    allowed = [f'{agent}.{folder}.' for folder in ('core', 'prompts', 'tool_calls')]
    found = [
        item
        for item in imports()
        if item.importer.startswith(tuple(allowed))
        and item.imported.startswith(agent)
        and not item.imported.startswith(tuple(allowed))
    ]
    assert [str(item) for item in found] == []
    assert any(item.importer == f'{agent}.core.step' for item in imports())


def test_the_graph_of_rooms_can_be_printed() -> None:
    graph = room_graph()
    print(f'\n{graph}')
    assert all(f'  {room}' in graph for rooms in ROOMS.values() for room in rooms)


def test_base_modules_of_the_model_and_its_options_load_without_torch() -> None:
    names = [name for name in modules() if name.startswith('instructsam_model') and room_of(name) in TORCH_FREE]
    names += [name for name in modules() if name.startswith('instructsam_model') and name.endswith('.options')]
    assert matching(f'{TORCH}|{ROS}', modules_after_import(*names)) == set()


def test_the_ros_package_loads_without_torch() -> None:
    pytest.importorskip('rclpy', reason='rclpy is not installed')
    pytest.importorskip('instructsam_ros.msg', reason='the messages of instructsam_ros are not built')
    names = [name for name in modules() if name.startswith('instructsam_ros.')]
    assert matching(f'{TORCH}|mujoco|rerun', modules_after_import(*names)) == set()


def test_rendering_loads_without_torch() -> None:
    pytest.importorskip('mujoco', reason='the extra sim is not installed')
    assert matching(f'{TORCH}|{ROS}', modules_after_import('instructsam_training.tabletop.render.render')) == set()


@pytest.mark.parametrize('package', PACKAGES)
def test_files_are_short(package: str) -> None:
    lengths = {name: len(file.read_text().splitlines()) for name, file in modules().items() if name.startswith(package)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
