"""Where a checkpoint lies: a local folder, or a download from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from instructsam_model.errors import CheckpointError

HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')
CHECKPOINT_FILES = ('*.json', '*.jinja', '*.txt', '*.safetensors')


def resolve_checkpoint(
    source: str | Path, *, revision: str | None = None, patterns: tuple[str, ...] = CHECKPOINT_FILES
) -> Path:
    """Return the local folder of a checkpoint.

    Args:
        source: a folder, or the id of a checkpoint on the hub (`owner/name`), which is downloaded.
        revision: branch, tag or commit on the hub.
        patterns: names of the files to download.

    Raises:
        CheckpointError: there is no such folder, and `source` is not a hub id or cannot be downloaded.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_ID.fullmatch(str(source)):
        raise CheckpointError(f'{source}: no such folder, and not the id of a checkpoint on the hub (owner/name)')
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f'{source}: no such folder here, and downloading it from the hub failed: {type(error).__name__}: {reason}'
        ) from error
