"""Read SAM3's detector, with text encoder and presence head, from a checkpoint of either layout (see `files`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import Tensor
from transformers import AutoImageProcessor, BaseImageProcessor, CLIPTokenizer, Sam3Config, Sam3ImageProcessor

from instructsam_model.errors import CheckpointError
from instructsam_model.sam3.boxes import FLOAT32_MODULES
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.files import Sam3Files, read_detector_config
from instructsam_model.sam3.meta_weights import read_meta_sam3
from instructsam_model.weights.tensor_files import check_tensor, check_tensors, find_tensors, iterate_tensors

PREFIX = 'detector_model.'
"""Prefix of the detector's tensors in a file of the video model."""
UNUSED = ('tracker_model.', 'tracker_neck.')
BUFFERS = ('.position_ids',)
"""Endings of names that older versions of `transformers` stored beside the parameters."""
META_LAYER_NORM_EPS = 1e-5
"""Epsilon of the image encoder's layer norms in Meta's code; the configuration of `transformers` has 1e-6."""
BOX_PREFIXES = tuple(f'detr_decoder.{name}.' for name in FLOAT32_MODULES)


def read_detector(
    files: Sam3Files, config: Sam3Config | None = None, *, device: torch.device, dtype: torch.dtype | None
) -> Sam3Detector:
    """Read a detector for inference.

    Args:
        files: of the checkpoint.
        config: of the detector; None for that of the checkpoint, see `read_config`.
        device: of the parameters.
        dtype: of the parameters, except those of `FLOAT32_MODULES`, which are float32; None keeps that of the file.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration.
    """
    # 1. Build the modules on the meta device, where parameters take no memory.
    with init_empty_weights(include_buffers=False):
        detector = Sam3Detector(read_config(files) if config is None else config)
    expected = {name: tuple(tensor.shape) for name, tensor in detector.model.state_dict().items()}
    # 2. Compare all names and shapes, then copy the tensors one by one to the device.
    if files.meta_weights is not None:
        return place_tensors(detector, files.meta_weights, read_meta_sam3(files.meta_weights), device, dtype)
    found = {_own_name(name): place for name, place in find_tensors(files.folder).items() if _is_used(name)}
    check_tensors(files.folder, {name: shape for name, (_, shape) in found.items()}, expected)
    tensors = _place(files.folder, _read(files.folder), device, dtype)
    return _assign(detector, tensors, device)


def place_tensors(
    detector: Sam3Detector,
    source: Path,
    tensors: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype | None,
) -> Sam3Detector:
    """Give a detector on the meta device its tensors, by the names of `Sam3Model`; see `read_detector`.

    Raises:
        CheckpointError: a name or shape is not as the configuration says, or values are not finite.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in detector.model.state_dict().items()}
    check_tensors(source, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, expected)
    return _assign(detector, _place(source, tensors.items(), device, dtype), device)


def open_tensors(files: Sam3Files) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a checkpoint by the names of `Sam3Model`, as stored and memory-mapped.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if files.meta_weights is not None:
        yield from read_meta_sam3(files.meta_weights).items()
        return
    # Not by `iterate_tensors`, which reads all values to check them.
    for file, names in _used_names(files.folder).items():
        with safe_open(file, framework='pt') as source:
            for name in names:
                yield _own_name(name), source.get_tensor(name)


def read_config(files: Sam3Files, layer_norm_eps: float | None = None) -> Sam3Config:
    """Read the configuration of the detector.

    Args:
        files: of the checkpoint.
        layer_norm_eps: of the image encoder; None for Meta's with Meta's weights, and the file's otherwise.

    Raises:
        CheckpointError: `config.json` cannot be read, or is not SAM3's.
    """
    config = Sam3Config() if files.config is None else Sam3Config(**read_detector_config(files.config))
    if layer_norm_eps is None and files.meta_weights is not None:
        layer_norm_eps = META_LAYER_NORM_EPS
    if layer_norm_eps is not None:
        config.vision_config.backbone_config.layer_norm_eps = layer_norm_eps
    return config


def read_image_processor(files: Sam3Files) -> BaseImageProcessor:
    """Read the settings of preprocessing; those of the published SAM3 if a Meta checkpoint has none.

    Raises:
        CheckpointError: the settings cannot be read.
    """
    if files.processor is None:
        return Sam3ImageProcessor()
    try:
        return AutoImageProcessor.from_pretrained(files.folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f'{files.processor}: expected settings of an image processor, got: {error}') from error


def read_tokenizer(folder: Path) -> CLIPTokenizer:
    """Read the tokenizer files of a folder, see `files.find_tokenizer`.

    Raises:
        CheckpointError: they cannot be read.
    """
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    # The tokenizers library raises plain `Exception` for damaged files.
    except Exception as error:
        raise CheckpointError(f'{folder}: expected CLIP tokenizer files, got: {error}') from error


def _read(folder: Path) -> Iterator[tuple[str, Tensor]]:
    found = {name: place for name, place in find_tensors(folder).items() if _is_used(name)}
    for name, tensor in iterate_tensors(found, device=torch.device('cpu'), dtype=None):
        yield _own_name(name), tensor


def _place(
    source: Path, tensors: Iterable[tuple[str, Tensor]], device: torch.device, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Copy the tensors of a file or folder to the device, each in its own precision.

    Raises:
        CheckpointError: values are not finite.
    """
    placed = {}
    for name, tensor in tensors:
        own_dtype = torch.float32 if name.startswith(BOX_PREFIXES) else dtype
        check_tensor(source, name, tensor, own_dtype)
        placed[name] = tensor.to(device=device, dtype=own_dtype, copy=True)
    return placed


def _used_names(folder: Path) -> dict[Path, list[str]]:
    by_file: dict[Path, list[str]] = {}
    for name, (file, _) in find_tensors(folder).items():
        if _is_used(name):
            by_file.setdefault(file, []).append(name)
    return by_file


def _assign(detector: Sam3Detector, tensors: dict[str, Tensor], device: torch.device) -> Sam3Detector:
    detector.model.load_state_dict(tensors, assign=True)
    return detector.to(device).eval().requires_grad_(False)


def _is_used(name: str) -> bool:
    return not name.startswith(UNUSED) and not name.endswith(BUFFERS)


def _own_name(name: str) -> str:
    return name.removeprefix(PREFIX)
