"""What a stage of SAM3-I ends with: the adapters, with a reference to their SAM3, or a trained SAM3 itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from accelerate import init_empty_weights
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.files import write_atomically
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.files import Sam3Files, find_tokenizer
from instructsam_model.sam3i.checkpoint import write_delta
from instructsam_model.sam3i.files import BaseReference
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.finite import check_finite
from instructsam_model.weights.hub import CONFIG_FILE
from instructsam_model.weights.tensor_files import WEIGHTS_FILE, write_tensor_file
from instructsam_training.config.sam3i_options import Sam3IObjective
from instructsam_training.families.sam3i.trainable import ADAPTERS, BASE

PUBLIC_STAGES: dict[Sam3IObjective, str] = {'simple': '1_1', 'complex': '1_2', 'aligned': '3', 'concept': '0'}
"""Name of each objective in the public code, which checkpoints have."""


def with_adapters(network: Sam3I, tensors: Mapping[str, Tensor]) -> Sam3I:
    """Return a network with other adapters on the same SAM3, which is not copied.

    Args:
        network: gives SAM3 and the sizes.
        tensors: by the names of `Sam3I`; those of SAM3 are not used.
    """
    with init_empty_weights(include_buffers=False):
        copied = Sam3I(network.detector, network.adapters.config)
    adapters = {name.removeprefix(ADAPTERS): tensor for name, tensor in tensors.items() if name.startswith(ADAPTERS)}
    copied.adapters.load_state_dict(adapters, assign=True)
    return copied


def make_network(network: Sam3I, tensors: Mapping[str, Tensor]) -> Sam3I:
    """Return a network of other tensors, all of them, by the names of `Sam3I`."""
    with init_empty_weights(include_buffers=False):
        made = Sam3I(Sam3Detector(network.detector.model.config), network.adapters.config)
    made.load_state_dict(dict(tensors), assign=True)
    return made


def write_adapters(
    folder: Path, network: Sam3I, tensors: Mapping[str, Tensor], base: BaseReference, objective: Sam3IObjective
) -> None:
    """Write the adapters as a checkpoint of the back end `sam3i`.

    Args:
        folder: replaced if it exists.
        network: of the stage.
        tensors: all tensors, by the names of `Sam3I`.
        base: the SAM3 that they were trained on.
        objective: of the stage.

    Raises:
        CheckpointError: a value is not finite.
        OSError: the folder cannot be written.
    """
    write_delta(folder, with_adapters(network, tensors), base, stage=PUBLIC_STAGES[objective])


def write_sam3(folder: Path, network: Sam3I, tensors: Mapping[str, Tensor], files: Sam3Files) -> None:
    """Write SAM3 itself, without adapters, in the layout of `facebook/sam3`.

    Args:
        folder: replaced if it exists.
        network: gives the configuration.
        tensors: all tensors, by the names of `Sam3I`.
        files: of the SAM3 that the run started from; tokenizer and preprocessing are copied.

    Raises:
        CheckpointError: a value is not finite, or the tokenizer is missing.
        OSError: the folder cannot be written.
    """
    own = {name.removeprefix(BASE): tensor.contiguous() for name, tensor in tensors.items() if name.startswith(BASE)}
    check_finite(folder, own, 'the run diverged')
    if files.processor is None:
        raise CheckpointError(f'{files.folder}: expected the settings of preprocessing beside the weights, found none')
    with write_atomically(folder) as draft:
        draft.mkdir()
        content = network.detector.model.config.to_dict() | {'architectures': ['Sam3Model']}
        (draft / CONFIG_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + '\n')
        for file in (files.processor, *tokenizer_files(find_tokenizer(files.folder))):
            shutil.copy(file, draft)
        write_tensor_file(draft / WEIGHTS_FILE, own, {'format': 'pt'})


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files of a CLIP tokenizer in a folder."""
    names = ('tokenizer.json', 'tokenizer_config.json', 'vocab.json', 'merges.txt', 'special_tokens_map.json')
    return [folder / name for name in names if (folder / name).is_file()]
