"""Read SAM3-I from a checkpoint of either layout, and write what it adds to SAM3 (see `files`).

Loading never changes a weight: what the public code does to the adapters, depending on the path of a checkpoint, is not
done here (see `dead_branches` for its traces).
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.files import write_atomically
from instructsam_model.sam3.checkpoint import (
    META_LAYER_NORM_EPS,
    open_tensors,
    place_tensors,
    read_config,
    read_detector,
)
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.files import Sam3Files, find_files, find_settings
from instructsam_model.sam3.meta_weights import read_meta_content
from instructsam_model.sam3i.base_hash import hash_base
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.dead_branches import describe_dead
from instructsam_model.sam3i.files import BASE_FOLDER, BaseReference, DeltaConfig, find_public_weights
from instructsam_model.sam3i.names import from_public, to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.sam3i.public_weights import infer_adapter_dim, split_tensors
from instructsam_model.weights.hub import CONFIG_FILE, CheckpointSource, resolve_source
from instructsam_model.weights.tensor_files import (
    WEIGHTS_FILE,
    check_tensor,
    check_tensors,
    read_header,
    write_tensor_file,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedSam3I:
    """A network and where it came from.

    Attributes:
        network: in evaluation mode.
        files: of SAM3, which has the settings of preprocessing and the tokenizer.
        stage: of training that wrote the adapters; empty if unknown.
    """

    network: Sam3I
    files: Sam3Files
    stage: str


def read_sam3i(
    source: CheckpointSource,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    base: str = '',
    adapter_heads: int = 0,
    adapter_scale: float = 0.0,
) -> LoadedSam3I:
    """Read a network for inference; logs what in it is dead.

    Args:
        source: of either layout.
        device: of the parameters.
        dtype: of the parameters, except those of SAM3's boxes; None keeps that of the files.
        base: SAM3, in place of the one that the checkpoint names; for our layout only.
        adapter_heads: of the text adapters; 0 for those of the checkpoint, or the public code's.
        adapter_scale: of the adapters in DETR; 0 for that of the checkpoint, or the public code's.

    Raises:
        CheckpointError: a file is missing, damaged or of another network, or SAM3 is not the one that the adapters were
            trained on.
    """
    given: dict[str, Any] = {}
    if adapter_heads:
        given['adapter_heads'] = adapter_heads
    if adapter_scale:
        given['adapter_scale'] = adapter_scale
    weights = find_public_weights(source)
    if weights is not None:
        if base:
            raise CheckpointError(
                f'{weights}: holds the SAM3 that its adapters were trained on, got base {base} too; leave base empty'
            )
        return _read_public(weights, given, device, dtype)
    content = DeltaConfig.from_json(dict(source.config), source.path / CONFIG_FILE)
    for name, value in given.items():
        if value != getattr(content.adapter, name):
            logger.warning(
                '%s %s: the adapters in %s were trained with %s; other values change every answer',
                name,
                value,
                source.path,
                getattr(content.adapter, name),
            )
    files = _find_base(source.path, content.base, base)
    detector = read_detector(files, read_config(files, META_LAYER_NORM_EPS), device=device, dtype=dtype)
    tensors = read_delta(source.path)
    network = _add(detector, replace(content.adapter, **given), tensors, source.path, device, dtype)
    return LoadedSam3I(network, files, content.stage)


def read_delta(folder: Path) -> dict[str, Tensor]:
    """Read what SAM3-I adds to SAM3, by our names, from a folder of our layout.

    Raises:
        CheckpointError: the file is missing or damaged, or has a tensor that is none of the adapters'.
    """
    file = folder / WEIGHTS_FILE
    read_header(file)  # gives the true reason if the file is unusable
    return _own_names(file, load_file(file))


def write_delta(
    folder: Path,
    network: Sam3I,
    base: BaseReference,
    *,
    stage: str = '',
    dtype: torch.dtype | None = None,
    base_folder: Path | None = None,
) -> None:
    """Write a folder of our layout, or replace it.

    Args:
        folder: to write.
        network: whose adapters are written.
        base: the SAM3 that they were trained on.
        stage: of training.
        dtype: of the file; None for that of the parameters.
        base_folder: a checkpoint of that SAM3, to be copied into the folder, which then needs no other; `base` is what
            it was copied from, of which the hash stays.

    Raises:
        CheckpointError: a value is not finite; nothing is written.
        OSError: the folder cannot be written.
    """
    tensors = {to_public(name): tensor.to(dtype=dtype) for name, tensor in network.adapters.state_dict().items()}
    if base_folder is not None:
        base = replace(base, checkpoint=f'./{BASE_FOLDER}', revision='')
    content = DeltaConfig(network.adapters.config, base, stage).to_json()
    with write_atomically(folder) as draft:
        draft.mkdir()
        write_tensor_file(draft / WEIGHTS_FILE, tensors, metadata={'format': 'pt'})
        (draft / CONFIG_FILE).write_text(json.dumps(content, indent=2) + '\n')
        if base_folder is not None:
            shutil.copytree(base_folder, draft / BASE_FOLDER)


def reference_to(checkpoint: str | Path, revision: str = '') -> BaseReference:
    """Return a reference to a SAM3 with the hash of its tensors.

    Raises:
        CheckpointError: it is missing, damaged or not SAM3.
    """
    source = resolve_source(checkpoint, revision=revision or None)
    # A path is stored in full, so that the adapters are found from every working folder.
    place = str(source.path.resolve()) if Path(checkpoint).expanduser().exists() else str(checkpoint)
    return BaseReference(place, revision, hash_base(open_tensors(find_files(source))))


def _find_base(folder: Path, reference: BaseReference, elsewhere: str) -> Sam3Files:
    """Find the SAM3 of adapters.

    Raises:
        CheckpointError: it is missing, or another one.
    """
    place: str | Path = elsewhere or reference.checkpoint
    if not elsewhere and reference.checkpoint.startswith('./'):
        place = folder / reference.checkpoint
    try:
        files = find_files(resolve_source(place, revision=(reference.revision or None) if not elsewhere else None))
    except CheckpointError as error:
        raise CheckpointError(
            f'{folder}: the adapters need the SAM3 that they were trained on, {place}: {error}; name its folder with '
            'the option base'
        ) from error
    if not reference.sha256:
        logger.warning('%s: has no hash of its SAM3, so that it is not checked whether that is %s', folder, place)
        return files
    found = hash_base(open_tensors(files))
    if found != reference.sha256:
        raise CheckpointError(
            f'{folder}: the adapters were trained on a SAM3 with the hash {reference.sha256[:12]}, {place} has '
            f'{found[:12]}: other weights, with which the adapters give wrong results; name the right one with the '
            'option base'
        )
    return files


def _read_public(file: Path, given: Mapping[str, Any], device: torch.device, dtype: torch.dtype | None) -> LoadedSam3I:
    """Read a file of the public code.

    Raises:
        CheckpointError: see `read_sam3i`.
    """
    tensors, stage = _open_public(file)
    try:
        base, added = split_tensors(tensors)
        sizes = Sam3IConfig(adapter_dim=infer_adapter_dim(added))
    except CheckpointError as error:
        raise CheckpointError(f'{file}: {error}') from None
    if not base:
        raise CheckpointError(f'{file}: expected SAM3 and the adapters, found the adapters only; give their folder')
    own = _own_names(file, added)
    config = replace(sizes, has_projector=any(name.startswith('projector.') for name in own), **given)
    logger.info(
        'adapter_heads %d and adapter_scale %g: not in %s, so those of the options, or of the public code',
        config.adapter_heads,
        config.adapter_scale,
        file.name,
    )
    files = find_settings(file.parent, file)
    with init_empty_weights(include_buffers=False):
        detector = Sam3Detector(read_config(files, META_LAYER_NORM_EPS))
    place_tensors(detector, file, base, device, dtype)
    return LoadedSam3I(_add(detector, config, own, file, device, dtype), files, stage)


def _open_public(file: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a file, memory-mapped, and its stage of training, empty if it does not say.

    Raises:
        CheckpointError: it is missing, damaged, or holds more than tensors.
    """
    if file.suffix == '.safetensors':
        read_header(file)
        return load_file(file), ''
    tensors, content = read_meta_content(file)
    stage = content.get('inst_stage', '')
    return tensors, stage if isinstance(stage, str) else ''


def _own_names(file: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        return {from_public(name): tensor for name, tensor in tensors.items()}
    except KeyError as error:
        raise CheckpointError(f'{file}: expected the tensors of SAM3-I, got {error}') from None


def _add(
    detector: Sam3Detector,
    config: Sam3IConfig,
    tensors: Mapping[str, Tensor],
    source: Path,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Sam3I:
    """Return the network of a detector and the tensors of its adapters, after a report of what in them is dead.

    Raises:
        CheckpointError: a name or shape is not as `config` says, or a value is an integer or not finite.
    """
    with init_empty_weights(include_buffers=False):
        network = Sam3I(detector, config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.adapters.state_dict().items()}
    check_tensors(source, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, expected)
    for line in describe_dead(tensors):
        logger.warning('%s: %s', source, line)
    placed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f'{source}: {to_public(name)}: expected floating-point numbers, got {tensor.dtype}')
        check_tensor(source, to_public(name), tensor, dtype)
        placed[name] = tensor.to(device=device, dtype=dtype, copy=True)
    network.adapters.load_state_dict(placed, assign=True)
    return network.eval().requires_grad_(False)
