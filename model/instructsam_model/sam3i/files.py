"""Finds the files of a SAM3-I checkpoint. No torch.

There are two layouts, ours, which is small because SAM3 stays where it is, and that of the public code:

    config.json                       model_type 'sam3i': the sizes of the adapters, and which SAM3 they were trained on
    model.safetensors                 what SAM3-I adds to it, by public names
    sam3/                             optional: that SAM3, if config.json says "./sam3"

    checkpoint.pt                     SAM3 and the adapters; alone, or in a folder; or the same as safetensors
    config.json                       optional, of SAM3; otherwise that of the published SAM3
    tokenizer.json                    or vocab.json with merges.txt; beside the file, or where the option says
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.options import make_options
from instructsam_model.sam3.files import find_adapted_weights, only_weights
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.weights.hub import CONFIG_FILE, CheckpointSource

MODEL_TYPE = 'sam3i'
BASE_FOLDER = 'sam3'
"""Folder with SAM3 in a checkpoint that needs no other."""


@dataclass(frozen=True)
class BaseReference:
    """The SAM3 that adapters were trained on.

    Attributes:
        checkpoint: folder, file or hub id; one that begins with `./` is in the folder of the adapters.
        revision: branch, tag or commit on the hub; empty for the newest.
        sha256: of its tensors, see `base_hash.hash_base`; empty if unknown.
    """

    checkpoint: str
    revision: str = ''
    sha256: str = ''


@dataclass(frozen=True)
class DeltaConfig:
    """Content of `config.json` of our layout.

    Attributes:
        adapter: sizes of the adapters.
        base: the SAM3 that they were trained on.
        stage: of training that wrote them, such as `3`; empty if unknown.
    """

    adapter: Sam3IConfig
    base: BaseReference
    stage: str = ''

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {'model_type': MODEL_TYPE, **asdict(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any], file: Path) -> DeltaConfig:
        """Read it from a JSON object.

        Raises:
            CheckpointError: it is something else; the message names the file.
        """
        try:
            adapter = make_options(Sam3IConfig, dict(content['adapter']), 'the adapters')
            base = BaseReference(**{name: str(value or '') for name, value in dict(content['base']).items()})
            if not base.checkpoint:
                raise ValueError('base.checkpoint: expected a folder, file or hub id, got none')
            return cls(adapter, base, str(content.get('stage', '')))
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f'{file}: expected the sizes of SAM3-I\'s adapters under "adapter" and their SAM3 under "base", got: '
                f'{error}'
            ) from error


def matches(source: CheckpointSource) -> bool:
    """Return whether a checkpoint is SAM3-I's: of our layout, or a file whose tensors include its adapters."""
    return source.config.get('model_type') == MODEL_TYPE or find_adapted_weights(source) is not None


def find_public_weights(source: CheckpointSource) -> Path | None:
    """Return the file of weights of a checkpoint of the public layout; None if it is of ours.

    Raises:
        CheckpointError: the checkpoint is not SAM3-I's.
    """
    if source.config.get('model_type') == MODEL_TYPE:
        return None
    # Also a file without adapters or that is damaged: its reader says what is wrong with it.
    file = only_weights(source)
    if file is None:
        raise CheckpointError(
            f'{source.path}: expected a SAM3-I checkpoint: a folder whose {CONFIG_FILE} has model_type {MODEL_TYPE}, '
            'or a file of the public code with the tensors of SAM3 and the adapters; got model_type '
            f'{source.config.get("model_type")!r}'
        )
    return file
