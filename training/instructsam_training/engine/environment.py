"""What a run depends on besides its settings and files: the versions of packages, and the code."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import instructsam_model

PACKAGES = (
    'instructsam_ros', 'torch', 'torchvision', 'transformers', 'accelerate', 'peft', 'datasets', 'numpy', 'pillow',
    'safetensors', 'tokenizers',
)  # fmt: skip
"""Packages that compute something in a run."""
CODE = (Path(__file__).parents[1], Path(instructsam_model.__file__).parent)
"""Folders of the two packages that train."""


@dataclass(frozen=True)
class Environment:
    """What computes in this process.

    Attributes:
        versions: of Python and packages.
        code: hash of the Python files of both packages.
        commit: see `code_commit`.
    """

    versions: Mapping[str, str]
    code: str
    commit: str


@cache
def current_environment() -> Environment:
    """Return the environment, as it was at the first call."""
    return Environment(package_versions(), hash_code(), code_commit())


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of `PACKAGES`; packages that are not installed are left out."""
    versions = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def hash_code(folders: tuple[Path, ...] = CODE) -> str:
    """Return a hash of all Python files in folders, which is the same for a checkout and an installation."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob('*.py')):
            digest.update(f'{file.relative_to(folder)}\n'.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def code_commit(folder: Path = CODE[0]) -> str:
    """Return the git commit of the code in a folder; empty if it is not in a repository.

    With uncommitted changes, `+` is appended.
    """
    # Only files that git tracks: an installation may be in somebody's repository.
    if not _git(folder, 'ls-files', '.'):
        return ''
    changed = _git(folder, 'status', '--porcelain', '--untracked-files=no')
    return _git(folder, 'rev-parse', 'HEAD') + ('+' if changed else '')


def _git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command; empty if it fails or git is not installed."""
    command = ['git', '-C', str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=10, text=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ''
