"""Command lines of this repository in documents and recipes, and the flags that each command has."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache

from instructsam_model.backends import backend_names, get_backend
from tests.support import ROOT
from tests.support.rooms import imports, modules

COMMANDS = dict(re.findall(r"'([\w-]+) = ([\w.]+):main'", (ROOT / 'setup.py').read_text()))
"""Installed command: the module that has its `main`."""
FLAG = r'(?<![\w-])--([a-z][\w.-]*\w)'


def commands(text: str) -> list[tuple[str, str]]:
    """Return module and arguments of each command line; continued lines count as one."""
    found = []
    for line in text.replace('\\\n', ' ').splitlines():
        pattern = r'(?:-m |(?<![\w/.-]))(instructsam[\w.-]*)((?: [^`|&]*)?)'
        for name, arguments in re.findall(pattern, line):
            module = COMMANDS.get(name, name)
            found.append((f'{module}.__main__' if f'{module}.__main__' in modules() else module, arguments))
    return found


def readme_commands() -> list[str]:
    """Return the command lines in the indented code of README.md, without comments."""
    text = (ROOT / 'README.md').read_text().replace('\\\n', ' ')
    lines = [
        re.sub(r'\s+# .*', '', line).strip()
        for line in re.findall(r'(?:\n\n|^)((?: {4}.+\n)+)', text)
        for line in line.splitlines()
    ]
    return [
        line for line in lines if re.match(r'(make|cd|pip|python3?|instructsam-\w+|ros2|rosdep|colcon|torchrun) ', line)
    ]


@cache
def flags(module: str) -> frozenset[str]:
    """Return the flags of a command: words in quotes in its module and those that it imports, and back-end options."""
    reached, pending = {module}, [module]
    while pending:
        current = pending.pop()
        targets = {item.imported for item in imports() if item.importer == current} - reached
        reached |= targets
        pending += targets
    source = '\n'.join(modules()[name].read_text() for name in reached)
    options = {f'{name}.{each.name}' for name in backend_names() for each in fields(get_backend(name).options)}
    return frozenset(re.findall(r"'(?:--)?([a-z][\w-]*)'", source)) | options


def unknown_flags(module: str, arguments: str) -> set[str]:
    """Return the flags in the arguments of a command that it does not have."""
    return set(re.findall(FLAG, arguments)) - flags(module) if '.' in module and module in modules() else set()
