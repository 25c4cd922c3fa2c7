"""Install the back end `dummy` and write a checkpoint for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import SUPPORT


def install_dummy(folder: Path) -> Path:
    """Install tests/support/dummy_backend with pip; returns the folder for `sys.path`."""
    project = shutil.copytree(SUPPORT / 'dummy_backend', folder / 'project')  # setuptools writes into it
    target = folder / 'site-packages'
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '--no-index', '--target', target, project], check=True)
    return target


def write_dummy_checkpoint(folder: Path) -> Path:
    """Write a checkpoint that only the dummy reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.json').write_text(json.dumps({'model_type': 'dummy'}))
    return folder
