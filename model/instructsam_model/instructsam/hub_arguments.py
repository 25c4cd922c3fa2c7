"""Arguments of `from_pretrained`, `save_pretrained` and `push_to_hub`, named as in `huggingface_hub`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import torch
from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from instructsam_model.backends import resolve_checkpoint
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.runtime.device import parse_device
from instructsam_model.runtime.precision import DTYPES
from instructsam_model.weights.embedded import EMBEDDED
from instructsam_model.weights.hub import CONFIG_FILE, PATTERNS, describe_error, resolve_path

HUB_ARGUMENTS = ('revision', 'cache_dir', 'token', 'local_files_only', 'force_download', 'subfolder')
MODEL_ARGUMENTS = ('device', 'device_map', 'dtype', 'torch_dtype')
PUSH_ARGUMENTS = ('commit_message', 'private', 'token', 'branch', 'create_pr')
UNITS = {'': 1, 'KB': 10**3, 'MB': 10**6, 'GB': 10**9}


def find_folder(source: str | Path, arguments: Mapping[str, Any]) -> Path:
    """Return the local folder of a checkpoint, downloading it if it is a hub id.

    Args:
        source: folder or hub id; `embedded` for the checkpoint in this package.
        arguments: some of `HUB_ARGUMENTS`.

    Raises:
        CheckpointError: it is neither here nor on the hub.
        ConfigError: a revision is given for a folder.
    """
    subfolder, revision = arguments.get('subfolder') or '', arguments.get('revision')
    if not str(source).strip() or str(source) == EMBEDDED:
        return resolve_checkpoint(str(source)).path / subfolder
    if revision and Path(source).expanduser().exists():
        raise ConfigError(f'revision: expected an id on the hub with it, got the folder {source}, which has only one')
    patterns = tuple(f'{subfolder}/{pattern}' if subfolder else pattern for pattern in PATTERNS)
    names = ('cache_dir', 'token', 'local_files_only', 'force_download')
    download = {name: arguments[name] for name in names if name in arguments}
    folder = resolve_path(source, revision=revision, patterns=patterns, **download) / subfolder
    if not folder.is_dir():
        raise CheckpointError(f'{folder}: expected a folder with {CONFIG_FILE} and weights')
    return folder


def choose_device(arguments: Mapping[str, Any]) -> torch.device:
    """Return the device that `device` or `device_map` names; the CPU without them, as in `transformers`.

    Raises:
        ConfigError: both are given, the device does not exist, or the map has several.
    """
    chosen = _choose_one(arguments, 'device', 'device_map')
    if isinstance(chosen, Mapping):
        raise ConfigError(f'device_map: expected one device, such as cuda:0, for the whole network, got {dict(chosen)}')
    return parse_device('cpu' if chosen is None else f'cuda:{chosen}' if type(chosen) is int else str(chosen))


def choose_dtype(arguments: Mapping[str, Any]) -> torch.dtype | None:
    """Return the precision that `dtype` or `torch_dtype` names; None, that of the files, without them or for `auto`.

    Raises:
        ConfigError: both are given, or the precision is unknown.
    """
    chosen = _choose_one(arguments, 'dtype', 'torch_dtype')
    if chosen is None or chosen == 'auto':
        return None
    name = str(chosen).removeprefix('torch.')
    if name not in DTYPES:
        raise ConfigError(f'dtype: expected auto or one of {", ".join(DTYPES)}, got {chosen!r}')
    return DTYPES[name]


def parse_size(size: int | str) -> int:
    """Return the bytes of a size such as `5GB`.

    Raises:
        ConfigError: it is not a size, or 0.
    """
    match = re.fullmatch(r'(\d+) ?([KMG]B|)', str(size).strip(), re.IGNORECASE)
    if match is None or not int(match[1]):
        raise ConfigError(f'max_shard_size: expected bytes, or a size such as 5GB, got {size!r}')
    return int(match[1]) * UNITS[match[2].upper()]


def push(repo_id: str, token: str | bool | None, upload: Callable[[], str]) -> str:
    """Run an upload and translate its errors.

    Raises:
        CheckpointError: the hub refused it, or cannot be reached.
        ConfigError: there is no token.
    """
    if not token and get_token() is None:
        raise ConfigError(
            f'token: expected one that may write to {repo_id}, found none; run `hf auth login`, set HF_TOKEN, or pass '
            'token='
        )
    try:
        return upload()
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError) as error:
        raise CheckpointError(f'{repo_id}: the upload to the hub failed: {describe_error(error)}') from error


def move_new_files(source: Path, target: Path) -> None:
    """Move the files of a folder to those of another that do not exist there; `config.json` last."""
    # A folder with weights but without its configuration is no checkpoint, so an interruption leaves none.
    files = [path for path in sorted(source.rglob('*')) if path.is_file()]
    for file in sorted(files, key=lambda path: path == source / CONFIG_FILE):
        destination = target / file.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if not destination.exists():
            file.replace(destination)


def _choose_one(arguments: Mapping[str, Any], name: str, alias: str) -> Any:
    """Return the value of an argument that has two names.

    Raises:
        ConfigError: both are given.
    """
    if arguments.get(name) is not None and arguments.get(alias) is not None:
        raise ConfigError(f'{name}: expected only one of {name} and {alias}, which are the same')
    return arguments.get(alias) if arguments.get(name) is None else arguments.get(name)
