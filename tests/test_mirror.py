"""Each source module has a test file at the mirrored path, or a test file whose docstring says `Covers <module>`.

The mirrored path of instructsam_ros/messages/geometry.py is tests/ros/messages/test_geometry.py. The words after
`Covers`, up to an empty line, are paths or dotted names of modules, within their package or in full: `Covers a/b.py`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.rooms import PACKAGES, modules, python_files

FOLDERS = {'instructsam_model': 'model', 'instructsam_training': 'training', 'instructsam_ros': 'ros'}
"""Package: the folder in tests/ that mirrors it."""
EXEMPT: dict[str, str] = {}
"""Module: why it needs no tests."""


def has_code(file: Path) -> bool:
    """Return whether a module defines a function or a class; others are constants, imports or one call."""
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.parse(file.read_text()).body)


def mirrored(module: str) -> Path:
    """Return the path of the test file of a module; that of a folder's `__init__` has the name of the folder."""
    package, *parents, name = module.split('.')
    return ROOT.joinpath('tests', FOLDERS[package], *parents, f'test_{name}.py')


def covered(docstring: str) -> set[str]:
    """Return the words after `Covers` in the docstring of a test module, paths as module names."""
    sentences = re.findall(r'\bCovers\b(.*?)(?:\n\n|\Z)', docstring, re.DOTALL)
    words = {word.strip('.') for sentence in sentences for word in re.findall(r'\w[\w./]*', sentence)}
    return {word.removesuffix('.py').replace('/', '.') for word in words}


def covered_modules() -> set[str]:
    """Return the modules that test files say they cover: full names, within the package or within the test's folder."""
    found: set[str] = set()
    for file in python_files('tests'):
        words = covered(ast.get_docstring(ast.parse(file.read_text())) or '')
        folder, *rooms = file.parent.relative_to(ROOT / 'tests').parts or ('',)
        packages = [package for package, mirror in FOLDERS.items() if mirror == folder] or list(PACKAGES)
        prefixes = [
            '',
            *(f'{package}.' for package in packages),
            *('.'.join([package, *rooms, '']) for package in packages),
        ]
        found |= {f'{prefix}{word}' for prefix in prefixes for word in words} & set(modules())
    return found


def gaps(package: str) -> list[str]:
    """Return the modules of a package that no test file covers."""
    names = [name for name, file in modules().items() if name.startswith(f'{package}.') and has_code(file)]
    return sorted({name for name in names if not mirrored(name).is_file()} - covered_modules() - set(EXEMPT))


def test_covers_lists_modules() -> None:
    docstring = 'Planes.\n\nCovers depth3d/plane.py and\n`depth3d.measurement`.\n\nNot node/memory.py.'
    assert covered(docstring) == {'depth3d.plane', 'and', 'depth3d.measurement'}


@pytest.mark.parametrize('package', PACKAGES)
def test_every_module_has_tests(package: str) -> None:
    assert gaps(package) == []


def test_exempt_modules_exist() -> None:
    assert set(EXEMPT) - set(modules()) == set()
