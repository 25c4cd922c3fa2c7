"""Finds the files of a SAM3 checkpoint. No torch.

There are two layouts, that of `facebook/sam3` for `transformers`, and Meta's:

    config.json                       model_type 'sam3_video' with detector_config, or 'sam3'
    model.safetensors                 or shards with model.safetensors.index.json
    preprocessor_config.json          or processor_config.json
    tokenizer.json                    or vocab.json with merges.txt

    sam3.pt                           alone, or in a folder without safetensors
    config.json                       optional; otherwise that of the published SAM3
    tokenizer.json                    or vocab.json with merges.txt; beside sam3.pt, or where the option says
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import CheckpointError
from instructsam_model.weights.hub import CONFIG_FILE, CheckpointSource, read_json, resolve_path
from instructsam_model.weights.stored_names import mentions_name

META_FILE = 'sam3.pt'
MODEL_TYPES = ('sam3', 'sam3_video')
WEIGHTS_SUFFIXES = ('.pt', '.pth', '.safetensors')
ADAPTER = '.adapter1.down_proj.weight'
"""Part of the names of tensors that SAM3-I adds to SAM3, and SAM3 has not."""
TOKENIZER_FILES = (('tokenizer.json',), ('vocab.json', 'merges.txt'))
PROCESSOR_FILES = ('preprocessor_config.json', 'processor_config.json')


@dataclass(frozen=True)
class Sam3Files:
    """Paths of the parts of a checkpoint.

    Attributes:
        folder: of the checkpoint.
        meta_weights: Meta's file of weights; None if the weights are safetensors in `folder`.
        config: `config.json`; None for the configuration of the published SAM3.
        processor: file with the settings of preprocessing; None for those of the published SAM3.
    """

    folder: Path
    meta_weights: Path | None
    config: Path | None
    processor: Path | None


def matches(source: CheckpointSource) -> bool:
    """Return whether a checkpoint is SAM3's.

    It is if it is a file with the suffix `.pt`, a folder whose `config.json` has one of `MODEL_TYPES`, or a folder
    without `config.json` that has a file `sam3.pt`; unless the weights have adapters too, see `find_adapted_weights`.
    """
    if find_adapted_weights(source) is not None:
        return False
    if source.path.is_file():
        return source.path.suffix == '.pt'
    if source.config:
        return source.config.get('model_type') in MODEL_TYPES
    return (source.path / META_FILE).is_file()


def find_adapted_weights(source: CheckpointSource) -> Path | None:
    """Return the file with the tensors of SAM3 and adapters, as SAM3-I publishes them; None if there is none.

    It is the path itself, or the only file of weights in a folder without a configuration of another network.
    """
    file = only_weights(source)
    return file if file is not None and mentions_name(file, ADAPTER) else None


def only_weights(source: CheckpointSource) -> Path | None:
    """Return the only file of weights of a checkpoint that has no configuration of another network; otherwise None."""
    if source.path.is_file():
        files = [source.path]
    elif source.config and source.config.get('model_type') not in MODEL_TYPES:
        return None
    else:
        files = [file for suffix in WEIGHTS_SUFFIXES for file in source.path.glob(f'*{suffix}')]
    return files[0] if len(files) == 1 and files[0].suffix in WEIGHTS_SUFFIXES else None


def find_files(source: CheckpointSource) -> Sam3Files:
    """Find the parts of a checkpoint.

    Raises:
        CheckpointError: it is not SAM3's, `config.json` cannot be read, or it has no settings of preprocessing.
    """
    if (adapted := find_adapted_weights(source)) is not None:
        raise CheckpointError(f'{adapted}: expected SAM3, found SAM3 with adapters of SAM3-I; use the back end sam3i')
    if not matches(source):
        raise CheckpointError(
            f'{source.path}: expected a SAM3 checkpoint: a folder whose config.json has model_type '
            f"{' or '.join(MODEL_TYPES)}, or Meta's {META_FILE}; got model_type {source.config.get('model_type')!r}"
        )
    folder = source.path.parent if source.path.is_file() else source.path
    return find_settings(folder, source.path if source.path.is_file() else _meta_file(folder))


def find_settings(folder: Path, meta: Path | None) -> Sam3Files:
    """Find configuration and settings of preprocessing in a folder.

    Args:
        folder: of the checkpoint.
        meta: Meta's file of weights, if it has one: then both are optional.

    Raises:
        CheckpointError: `config.json` cannot be read, or there are no settings of preprocessing.
    """
    config = folder / CONFIG_FILE
    # Either name, depending on the version of `transformers` that wrote the checkpoint.
    processor = next((folder / name for name in PROCESSOR_FILES if (folder / name).is_file()), None)
    if meta is None and processor is None:
        raise CheckpointError(f'{folder}: expected {" or ".join(PROCESSOR_FILES)} of SAM3, found neither')
    # A configuration beside Meta's file that is not SAM3's belongs to something else.
    return Sam3Files(folder, meta, config if _is_sam3(config) else None, processor)


def read_detector_config(file: Path) -> dict[str, Any]:
    """Read the `config.json` of the detector, or of the video model, which contains it.

    Raises:
        CheckpointError: the file cannot be read, or is neither of the two.
    """
    content = read_json(file)
    detector = content.get('detector_config', content)
    if not isinstance(detector, dict) or detector.get('model_type') != 'sam3':
        found = detector.get('model_type') if isinstance(detector, dict) else detector
        raise CheckpointError(f"{file}: expected a SAM3 configuration (model_type 'sam3'), got {found!r}")
    return detector


def find_tokenizer(folder: Path, elsewhere: str = '') -> Path:
    """Return the folder with the CLIP tokenizer files.

    Args:
        folder: of the checkpoint.
        elsewhere: another folder, or a hub id; empty for none.

    Raises:
        CheckpointError: the folder has no tokenizer files.
    """
    place = resolve_path(elsewhere) if elsewhere else folder
    if any(all((place / name).is_file() for name in names) for names in TOKENIZER_FILES):
        return place
    raise CheckpointError(
        f'{place}: expected the CLIP tokenizer files of SAM3, tokenizer.json or vocab.json with merges.txt, found '
        'neither; copy them there from facebook/sam3, or name their folder with the option tokenizer'
    )


def _meta_file(folder: Path) -> Path | None:
    """Return `sam3.pt` of a folder without safetensors; published folders have both, with the same weights."""
    file = folder / META_FILE
    return file if file.is_file() and not any(folder.glob('*.safetensors*')) else None


def _is_sam3(config: Path) -> bool:
    return config.is_file() and read_json(config).get('model_type') in MODEL_TYPES
