"""What is installed: by colcon through CMakeLists.txt and package.xml, by pip through setup.py and MANIFEST.in."""

from __future__ import annotations

import ast
import copy
import importlib.metadata
import importlib.util
import os
import re
import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support import ROOT

CMAKE = re.sub(r'#.*', '', (ROOT / 'CMakeLists.txt').read_text())
MANIFEST = (ROOT / 'MANIFEST.in').read_text()
SETUP = (ROOT / 'setup.py').read_text()
PACKAGE = ElementTree.parse(ROOT / 'package.xml').getroot()
VERSION = PACKAGE.findtext('version') or ''
SCRIPTS = sorted((ROOT / 'scripts').iterdir())
SHARED = sorted(path for name in ('config', 'launch', 'rviz') for path in (ROOT / name).iterdir() if path.is_file())
INTERFACES = sorted(path for name in ('action', 'msg', 'srv') for path in (ROOT / name).iterdir())


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def defines(module: str, function: str) -> bool:
    """Tell whether a module of this repository defines a function, without importing it."""
    for root in ('.', 'model', 'training'):
        file = ROOT / root / Path(*module.split('.')).with_suffix('.py')
        if file.is_file():
            tree = ast.parse(file.read_text())
            return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)
    return False


def in_sdist(path: Path) -> bool:
    lines = [line.split() for line in MANIFEST.splitlines() if line and not line.startswith('#')]
    grafted = {folder for command, *folders in lines if command == 'graft' for folder in folders}
    included = [pattern for command, *patterns in lines if command == 'include' for pattern in patterns]
    name = relative(path)
    return name.partition('/')[0] in grafted or any(fnmatch(name, pattern) for pattern in included)


def test_version_stands_in_package_xml_alone() -> None:
    assert re.fullmatch(r'\d+\.\d+\.\d+', VERSION)
    others = [
        file
        for root in ('instructsam_ros', 'model', 'training', 'scripts', 'launch')
        for file in (ROOT / root).rglob('*.py')
        if VERSION in file.read_text()
    ]
    others += [
        ROOT / name
        for name in ('setup.py', 'cmake/build_interfaces.py', 'pyproject.toml', 'CMakeLists.txt')
        if VERSION in (ROOT / name).read_text()
    ]
    assert [relative(file) for file in others] == []


def test_installed_version_is_that_of_package_xml() -> None:
    try:
        installed = importlib.metadata.version('instructsam_ros')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('instructsam_ros is not installed here')
    assert installed == VERSION


@pytest.mark.parametrize(('command', 'module', 'function'), re.findall(r"'([\w-]+) = ([\w.]+):(\w+)'", SETUP))
def test_console_script_names_a_function(command: str, module: str, function: str) -> None:
    assert defines(module, function), f'{command}: there is no {module}:{function}'


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_executable_runs_an_existing_main(script: Path) -> None:
    module, function = re.findall(r'^from ([\w.]+) import (\w+)$', script.read_text(), re.MULTILINE)[0]
    assert defines(module, function)
    assert os.access(script, os.X_OK)
    assert relative(script) in CMAKE
    assert in_sdist(script)


@pytest.mark.parametrize('path', INTERFACES, ids=relative)
def test_interface_is_generated_and_in_the_sdist(path: Path) -> None:
    assert relative(path) in CMAKE
    assert in_sdist(path)


def test_every_interface_that_is_generated_exists() -> None:
    assert sorted(re.findall(r'\b(?:action|msg|srv)/\w+\.(?:action|msg|srv)', CMAKE)) == [
        relative(path) for path in INTERFACES
    ]


@pytest.mark.parametrize('path', SHARED, ids=relative)
def test_shared_file_is_installed(path: Path) -> None:
    directories = re.findall(r'install\(DIRECTORY ([\w ]+) DESTINATION share/\$\{PROJECT_NAME\}', CMAKE)
    assert path.parent.name in ' '.join(directories).split()
    assert in_sdist(path)


@pytest.mark.parametrize(
    'name',
    [
        'CMakeLists.txt',
        'LICENSE',
        'cmake/build_interfaces.py',
        'cmake/pypi_ros_wheels.cmake',
        'package.xml',
        'QUALITY_DECLARATION.md',
        'requirements-humble.txt',
        'requirements-model.txt',
        'requirements-ros.txt',
    ],
)
def test_sdist_can_be_built_from(name: str) -> None:
    assert (ROOT / name).is_file()
    assert in_sdist(ROOT / name)


def test_messages_depend_on_what_package_xml_declares() -> None:
    declared = {tag.text for tag in PACKAGE.findall('depend')}
    types = re.compile(r'^(\w+_(?:msgs|interfaces))/', re.MULTILINE)
    used = {match for path in INTERFACES for match in types.findall(path.read_text())}
    used |= {'action_msgs' for path in INTERFACES if path.suffix == '.action'}  # rosidl asks for it
    generated = set(re.findall(r'DEPENDENCIES ([\w\s]+)\)', CMAKE)[0].split())
    assert declared == generated == used


def test_ros_is_not_required_from_pypi() -> None:
    required = (
        re.findall(r'install_requires=\[(.*?)\]', SETUP, re.DOTALL)[0] + (ROOT / 'requirements-model.txt').read_text()
    )
    assert not re.search(r'\b(ros-|rclpy|launch|cv.bridge|\w+_msgs)', required)


@pytest.mark.parametrize(('repository', 'tool'), [('ruff-pre-commit', 'ruff'), ('codespell', 'codespell')])
def test_pre_commit_has_the_versions_of_the_constraints(repository: str, tool: str) -> None:
    hooks = (ROOT / '.pre-commit-config.yaml').read_text()
    [revision] = re.findall(rf'/{repository}\n +rev: v(\S+)\n', hooks)
    assert f'{tool}=={revision}\n' in (ROOT / 'constraints.txt').read_text()


def release_problems(package: ElementTree.Element, changelog: str) -> list[str]:
    spec = importlib.util.spec_from_file_location('check_release', ROOT / 'cmake' / 'check_release.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    problems: list[str] = module.problems(package, changelog)
    return problems


def filled_in(email: str, address: str) -> ElementTree.Element:
    package = copy.deepcopy(PACKAGE)
    for url in package.findall('url'):
        package.remove(url)
    package.findall('maintainer')[0].set('email', email)
    for kind in ('website', 'bugtracker', 'repository'):
        ElementTree.SubElement(package, 'url', {'type': kind}).text = address
    return package


CHANGELOG = (ROOT / 'CHANGELOG.rst').read_text()


def test_release_check_passes_with_real_addresses_only() -> None:
    assert release_problems(filled_in('robots@ros.org', 'https://github.com/ros/ros'), CHANGELOG) == []
    for email, address in [
        ('robots@ros.invalid', 'https://github.com/ros/ros'),
        ('robots@example.com', 'https://github.com/ros/ros'),
        ('robots', 'https://github.com/ros/ros'),
        ('robots@ros.org', 'https://instructsam-ros.invalid/issues'),
        ('robots@ros.org', 'https://example.org'),
        ('robots@ros.org', 'http://localhost:3000'),
        ('robots@ros.org', ''),
    ]:
        assert len(release_problems(filled_in(email, address), CHANGELOG)) in (1, 3), (email, address)
    assert len(release_problems(filled_in('robots@ros.org', 'https://github.com/ros/ros'), 'Forthcoming\n---\n')) == 1


def test_release_check_names_every_address_that_is_missing_here() -> None:
    reserved = '.invalid' in (PACKAGE.findall('maintainer')[0].get('email') or '')
    missing = {'website', 'bugtracker', 'repository'} - {url.get('type') for url in PACKAGE.findall('url')}
    found = release_problems(PACKAGE, CHANGELOG)
    assert len(found) == reserved + len(missing)
    assert all(any(f'<url type="{kind}">' in problem for problem in found) for kind in missing)


def test_addresses_stand_in_package_xml_alone() -> None:
    assert 'https://' not in SETUP
    assert "PACKAGE.findall('url')" in SETUP


def test_linters_agree_with_ruff() -> None:
    linters = {tag.text for tag in PACKAGE.findall('test_depend') if 'lint' in (tag.text or '')}
    assert linters == {'ament_lint_auto', 'ament_cmake_lint_cmake', 'ament_cmake_xmllint'}
    # They are not on PyPI, so that `colcon test` must work without.
    assert 'find_package(ament_lint_auto QUIET)' in CMAKE


def test_quality_declaration_answers_every_requirement_of_rep_2004() -> None:
    declaration = (ROOT / 'QUALITY_DECLARATION.md').read_text()
    numbers = {'1': 6, '2': 5, '3': 5, '4': 5, '5': 3, '6': 1, '7': 1}
    roman = ['i', 'ii', 'iii', 'iv', 'v', 'vi']
    required = [f'{section}.{roman[item]}' for section, count in numbers.items() for item in range(count)]
    assert [each for each in required if not re.search(rf'\*\*[^*]*\b{re.escape(each)}\b(?!\w)', declaration)] == []
    assert 'QUALITY_DECLARATION.md' in (ROOT / 'README.md').read_text()


# Keys of rosdep/base.yaml and rosdep/python.yaml, and packages of Humble, Jazzy, Kilted and Rolling, in ros/rosdistro
# 8468e88 (2026-08-22).
ROSDEP_KEYS = {
    'python3-numpy', 'python3-opencv', 'python3-pil', 'python3-pytest', 'python3-rich', 'python3-scipy', 'python3-yaml',
}  # fmt: skip
ROS_PACKAGES = {
    'action_msgs', 'ament_cmake', 'ament_cmake_lint_cmake', 'ament_cmake_pytest', 'ament_cmake_python',
    'ament_cmake_xmllint', 'ament_index_python', 'ament_lint_auto', 'bondpy', 'builtin_interfaces', 'cv_bridge',
    'diagnostic_msgs', 'geometry_msgs', 'launch', 'launch_ros', 'launch_testing', 'lifecycle_msgs', 'moveit_msgs',
    'rcl_interfaces', 'rclpy', 'rosidl_default_generators', 'rosidl_default_runtime', 'rviz2', 'sensor_msgs',
    'shape_msgs', 'std_msgs', 'tf2_geometry_msgs', 'tf2_msgs', 'tf2_ros_py', 'vision_msgs', 'visualization_msgs',
}  # fmt: skip


def test_rosdep_resolves_every_dependency() -> None:
    keys = {str(tag.text) for tag in PACKAGE if str(tag.tag).endswith('depend')}
    unknown = keys - ROSDEP_KEYS - ROS_PACKAGES
    assert unknown == set(), 'look them up in ros/rosdistro, and add them to the list above'
