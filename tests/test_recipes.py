"""recipes/: each script states what it makes, stops at errors and has a target in the Makefile; its commands exist."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from instructsam_model.backends import backend_names, get_backend
from tests.support import ROOT
from tests.support.rooms import modules

RECIPES = sorted(path for path in (ROOT / 'recipes').iterdir() if path.name != 'common.sh')
MAKEFILE = (ROOT / 'Makefile').read_text()
COMMANDS = dict(re.findall(r"'([\w-]+) = ([\w.]+):main'", (ROOT / 'setup.py').read_text()))
"""Command: the module that has its `main`."""


def text_of(recipe: Path) -> str:
    """Return a recipe without comments, one command a line."""
    text = (ROOT / 'recipes' / 'common.sh').read_text() + recipe.read_text()
    return re.sub(r'^#.*\n', '', text.replace('\\\n', ' '), flags=re.MULTILINE)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_recipe_states_its_outputs_and_duration_and_stops_at_errors(recipe: Path) -> None:
    shebang, *lines = recipe.read_text().splitlines()
    header, _, rest = '\n'.join(lines).partition('\nset -euo pipefail\n')
    assert shebang == '#!/usr/bin/env bash'
    assert re.match(r'# (Makes|Runs) ', header)
    assert re.search(r'Takes [\w# \n]*(minute|hour)', header)
    assert rest
    assert os.access(recipe, os.X_OK)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_recipe_has_a_target_of_its_name(recipe: Path) -> None:
    assert re.search(rf'^{recipe.stem}:.*## .*\n\t.*recipes/{recipe.name}$', MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_modules_and_commands_exist(recipe: Path) -> None:
    text = text_of(recipe)
    used = re.findall(r'-m (instructsam_\w+[\w.]*)', text)
    used += [COMMANDS.get(command, command) for command in re.findall(r'(?<![\w/])(instructsam-\w+)(?= )', text)]
    assert [name for name in used if name not in modules()] == []


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_options_exist(recipe: Path) -> None:
    source = '\n'.join(file.read_text() for file in modules().values())
    others = {'--standalone', '--nproc_per_node', '--quiet', '--disable-pip-version-check', '--editable'}
    options = set(re.findall(r'["( ](--[a-z][\w.-]*\w)', text_of(recipe))) - others
    known = {f'--{backend}.{each.name}' for backend in backend_names() for each in fields(get_backend(backend).options)}
    written = {option for option in options if f"'{option}'" in source or f"'{option[2:]}'" in source}
    assert options - known - written == set()
