"""recipes/: each script states what it makes, stops at errors and has a target in the Makefile; its commands exist."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.command_lines import FLAG, commands, flags
from tests.support.rooms import modules

RECIPES = sorted(path for path in (ROOT / 'recipes').iterdir() if path.name != 'common.sh')
MAKEFILE = (ROOT / 'Makefile').read_text()


def text_of(recipe: Path) -> str:
    """Return a recipe without comments, one command a line."""
    text = recipe.read_text()
    if 'FULL_SIZE' in text:
        text = (ROOT / 'recipes' / 'common.sh').read_text() + text
    return re.sub(r'^#.*\n', '', text.replace('\\\n', ' '), flags=re.MULTILINE)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_recipe_states_its_outputs_and_duration_and_stops_at_errors(recipe: Path) -> None:
    shebang, *lines = recipe.read_text().splitlines()
    header, _, rest = '\n'.join(lines).partition('\nset -euo pipefail\n')
    assert shebang == '#!/usr/bin/env bash'
    assert re.match(r'# (Writes|Runs) ', header)
    assert re.search(r'Takes [\w# \n]*(minute|hour)', header)
    assert rest
    assert os.access(recipe, os.X_OK)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_recipe_has_a_target_of_its_name(recipe: Path) -> None:
    assert re.search(rf'^{recipe.stem}:.*## .*\n\t.*recipes/{recipe.name}$', MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.name)
def test_modules_and_flags_exist(recipe: Path) -> None:
    text = text_of(recipe)
    used = {module for module, _ in commands(text) if module != 'instructsam-2b'}
    assert used - set(modules()) == set()
    others = {'standalone', 'nproc_per_node', 'quiet', 'disable-pip-version-check', 'editable'}
    known = set().union(*(flags(module) for module in used)) | others
    assert set(re.findall(FLAG, text)) - known == set()
