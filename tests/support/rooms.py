"""The rooms (sub-packages) of the three packages, their order, and the imports between them, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import ROOT

PACKAGES = {
    'instructsam_model': ROOT / 'model',
    'instructsam_training': ROOT / 'training',
    'instructsam_ros': ROOT,
}
"""Package: the folder that holds it."""

ROOMS = {
    'instructsam_model': [
        'base', 'runtime', 'weights', 'backends', 'backend_arguments', 'sam3', 'sam3i', 'sam3_agent', 'instructsam',
        'fake_cuda', 'bench', 'cli',
    ],
    'instructsam_training': [
        'config', 'data', 'datasets', 'losses', 'families', 'check', 'evaluation', 'engine', 'parity',
        'tabletop', 'api', 'cli', 'tables',
    ],
    'instructsam_ros': ['base', 'messages', 'depth3d', 'inference', 'node', 'sim', 'viewer', 'tools'],
}  # fmt: skip
"""Package: its rooms, lowest first. A room imports only itself and lower rooms.

A room is a folder, or a module at the top of the package. `base` is all other modules at the top.
"""

PUBLIC = 'public'
"""The `__init__` of a package, which re-exports names of any room."""


@dataclass(frozen=True)
class Import:
    """One import of a module of this repository.

    Attributes:
        file: path relative to the root of the repository.
        line: line number.
        importer, imported: module names.
    """

    file: str
    line: int
    importer: str
    imported: str

    def __str__(self) -> str:
        return f'{self.file}:{self.line} imports {self.imported}'


def python_files(folder: str | Path) -> list[Path]:
    return sorted((ROOT / folder).rglob('*.py'))


@cache
def modules() -> dict[str, Path]:
    """Return the source modules of the three packages by name."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in python_files(folder / package):
            parts = file.relative_to(folder).with_suffix('').parts
            found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = file
    return found


def room_of(module: str) -> str:
    """Return the room of a module, such as 'sam3' for instructsam_model.sam3.detector."""
    package, *rest = module.split('.')
    if not rest:
        return PUBLIC
    return rest[0] if rest[0] in ROOMS[package] or len(rest) > 1 else 'base'


def imported_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of each import, also of those inside functions and for type checking."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f'{node.module}.{alias.name}') for alias in node.names)


@cache
def imports() -> list[Import]:
    """Return the imports of modules of this repository by each other."""
    found = []
    for importer, file in modules().items():
        for line, name in imported_names(file.read_text()):
            module = name if name in modules() else name.rpartition('.')[0]
            if module in modules():
                found.append(Import(str(file.relative_to(ROOT)), line, importer, module))
    return list(dict.fromkeys(found))  # one for several names from one module


def upward(package: str) -> list[Import]:
    """Return the imports within a package that point from a lower room to a higher one."""
    rank = {room: number for number, room in enumerate(ROOMS[package])}
    return [
        item
        for item in imports()
        if item.importer.split('.')[0] == item.imported.split('.')[0] == package
        and PUBLIC not in (room_of(item.importer), room_of(item.imported))
        and rank[room_of(item.importer)] < rank[room_of(item.imported)]
    ]


def summary(package: str, room: str) -> str:
    """Return the first line of the docstring of a room; `base` has none."""
    module = f'{package}.{room}'
    if module not in modules():
        return ''
    return (ast.get_docstring(ast.parse(modules()[module].read_text())) or '').partition('\n')[0]


def room_graph() -> str:
    """Return the rooms as text, highest first, each with the rooms that it imports."""
    lines = []
    for package in ('instructsam_ros', 'instructsam_training', 'instructsam_model'):
        lines += [package, '']
        for room in reversed(ROOMS[package]):
            targets: dict[str, set[str]] = {}
            for item in imports():
                source, target = item.importer.split('.')[0], item.imported.split('.')[0]
                if (source, room_of(item.importer)) == (package, room):
                    targets.setdefault(target, set()).add(room_of(item.imported))
            targets.get(package, set()).discard(room)
            lines.append(f'  {room:<12} {summary(package, room)}'.rstrip())
            for target, rooms in targets.items():
                names = [name for name in (PUBLIC, *ROOMS[target]) if name in rooms]
                if names:
                    lines.append(f'  {"":<12}   {target}: {", ".join(names)}')
        lines.append('')
    return '\n'.join(lines)


if __name__ == '__main__':
    print(room_graph())
