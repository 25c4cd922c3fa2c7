"""Reading and writing checkpoints in the published layout.

config.json                          Qwen3-VL's configuration with the method's keys
model.safetensors                    or shards with model.safetensors.index.json
tokenizer.json, chat_template.jinja, processor_config.json, ...
README.md                            the model card
sam3/config.json, sam3/preprocessor_config.json      the folder that `mask_decoder_model` names
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import init_empty_weights
from huggingface_hub import ModelCard
from transformers import Sam3Config

from instructsam_model.errors import CheckpointError
from instructsam_model.files import explain, is_present, write_atomically
from instructsam_model.instructsam.adapter import Adapter
from instructsam_model.instructsam.auto_classes import SIGNPOST, SIGNPOST_FILE, InstructSAMConfig
from instructsam_model.instructsam.config import GENERATION_FILE, SAM3_FOLDER, ModelConfig, read_sam3_config
from instructsam_model.instructsam.image_sizes import with_sam3_size
from instructsam_model.instructsam.model_card import CARD_FILE, CardFacts, make_card
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.instructsam.quantization import quantized_layers
from instructsam_model.instructsam.tied_head import without_tied_head
from instructsam_model.runtime.choices import UNQUANTIZED
from instructsam_model.runtime.quantization import check_quantization, is_quantized, quantize_layer
from instructsam_model.sam3.boxes import keep_float32
from instructsam_model.weights.hub import check_files, read_json, resolve_path
from instructsam_model.weights.tensor_files import Shape, check_tensors, find_tensors, iterate_tensors, write_tensors

logger = logging.getLogger(__name__)

MAX_SHARD_BYTES = 5 * 10**9


def resolve_sam3(folder: Path, override: str | Path | None = None) -> Path | None:
    """Find the folder with SAM3's `config.json` and `preprocessor_config.json`.

    Published checkpoints contain a path on their authors' machine, so several places are tried: `override`, that path
    (relative to the checkpoint or absolute), `sam3/` in the checkpoint, and the hub.

    Returns:
        The folder; None if there is none, in which case the defaults of the published SAM3 apply.

    Raises:
        CheckpointError: `override` does not exist.
    """
    patterns = ('config.json', 'preprocessor_config.json')
    if override is not None:
        return resolve_path(override, patterns=patterns)
    source = str(read_json(folder / 'config.json').get('mask_decoder_model') or SAM3_FOLDER)
    for candidate in (folder / source, folder / SAM3_FOLDER):
        if _is_sam3_folder(candidate, own=candidate.is_relative_to(folder)):
            return candidate
    try:
        return resolve_path(source, patterns=patterns)
    except CheckpointError as error:
        logger.warning("SAM3's configuration was not found; using the defaults of the published SAM3 (%s)", error)
        return None


def _is_sam3_folder(folder: Path, *, own: bool) -> bool:
    """Return whether a folder has SAM3's configuration.

    Args:
        folder: that may have it.
        own: it is a part of the checkpoint. Another may be a path on the machine of its authors, which means nothing
            here, even if it exists and is private.

    Raises:
        CheckpointError: there is a folder of the checkpoint that cannot be read.
    """
    try:
        if not is_present(folder / 'config.json'):
            return False
    except OSError as error:
        if not own:
            return False
        raise CheckpointError(f'{folder}: this folder cannot be read: {explain(error, folder)}') from error
    check_files(folder)
    return True


def read_model_config(folder: Path, sam3_folder: Path | None) -> ModelConfig:
    """Read the configuration of a checkpoint; without a SAM3 folder, with the defaults of the published SAM3.

    Raises:
        CheckpointError: a file is missing or invalid.
    """
    sam3 = Sam3Config() if sam3_folder is None else read_sam3_config(sam3_folder / 'config.json')
    return ModelConfig.from_published(read_json(folder / 'config.json'), sam3, folder / 'config.json')


def build_empty(config: ModelConfig) -> InstructSAM:
    """Make a network with parameters on the meta device, which take no memory, and real buffers."""
    with init_empty_weights(include_buffers=False):
        network = InstructSAM(config)
    network.tie_weights()
    return network.eval()


def parameter_shapes(network: InstructSAM) -> dict[str, Shape]:
    """Return names and shapes of the stored tensors: a head that shares the token embedding is not stored."""
    return {name: tuple(tensor.shape) for name, tensor in _stored_tensors(network).items()}


def _stored_tensors(network: InstructSAM) -> dict[str, torch.Tensor]:
    tensors = network.state_dict()
    if network.config.qwen.tie_word_embeddings:
        del tensors['lm_head.weight']
    return tensors


def read_network(
    folder: Path,
    sam3_folder: Path | None,
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
    sam3_size: int = 0,
    quantization: str = UNQUANTIZED,
    adapter: Adapter | None = None,
) -> InstructSAM:
    """Read a network for inference.

    Parameters are moved to the device one at a time, each in its final form before the next is read, so that the memory
    needed is that of the network and one file of the checkpoint.

    Args:
        folder: of the checkpoint.
        sam3_folder: see `resolve_sam3`.
        device: of the network.
        dtype: of the parameters; None keeps that of the files.
        sam3_size: see `with_sam3_size`.
        quantization: one of `QUANTIZATIONS`.
        adapter: added to the weights before they are quantized.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration, or the adapter is one of another
            checkpoint.
        ConfigError: see `with_sam3_size` and `check_quantization`.
    """
    check_quantization(quantization)
    config = read_model_config(folder, sam3_folder)
    network = build_empty(replace(config, sam3=with_sam3_size(config.sam3, sam3_size)))
    found = find_tensors(folder)
    expected = parameter_shapes(network)
    if network.config.qwen.tie_word_embeddings:
        found = without_tied_head(folder, found)
    check_tensors(folder, {name: shape for name, (_, shape) in found.items()}, expected)
    if adapter is not None:
        adapter.check(folder, expected)
    place_tensors(network, found, device=device, dtype=dtype, quantization=quantization, adapter=adapter)
    network.tie_weights()
    keep_float32(network.model.grounding_model.model.detr_decoder)
    return network.to(device).requires_grad_(False)


def place_tensors(
    network: InstructSAM,
    found: Mapping[str, tuple[Path, Shape]],
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    quantization: str = UNQUANTIZED,
    adapter: Adapter | None = None,
) -> None:
    """Replace the network's empty parameters by tensors of files; arguments as for `read_network`."""
    layers = {} if quantization == UNQUANTIZED else quantized_layers(network)
    for name, tensor in iterate_tensors(found, device=device, dtype=dtype, copy=bool(layers)):
        module, _, own_name = name.rpartition('.')
        placed = tensor if adapter is None else adapter.apply(name, tensor)
        network.get_submodule(module).load_state_dict({own_name: placed}, strict=False, assign=True)
        if name in layers:
            quantize_layer(layers[name], quantization)


def write_checkpoint(
    folder: Path,
    network: InstructSAM,
    preprocessor: Preprocessor,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    card: ModelCard | None = None,
) -> None:
    """Write a checkpoint in the published layout, atomically.

    Args:
        folder: new or empty.
        network: with its own weights.
        preprocessor: of the network.
        max_shard_bytes: maximum size of a file of weights.
        card: what is known about the weights; None: nothing.

    Raises:
        CheckpointError: `folder` exists and is not empty, the network is quantized, or a weight is not finite.
        OSError: the folder cannot be written.
    """
    if is_quantized(network):
        raise CheckpointError(
            f'{folder}: expected a network with its own weights, got a quantized one; load it without'
        )
    if is_present(folder) and any(folder.iterdir()):
        raise CheckpointError(f'{folder}: expected a new or empty folder; a checkpoint is never written over another')
    config = network.config
    with write_atomically(folder) as draft:
        InstructSAMConfig.from_dict(config.to_published()).save_pretrained(draft)
        (draft / SIGNPOST_FILE).write_text(SIGNPOST)
        (card or make_card(CardFacts(), config)).save(draft / CARD_FILE)
        (draft / GENERATION_FILE).write_text(json.dumps({'eos_token_id': list(config.stop_tokens)}))
        config.sam3.save_pretrained(draft / SAM3_FOLDER)
        preprocessor.save(draft, draft / SAM3_FOLDER)
        write_tensors(draft, _stored_tensors(network), max_shard_bytes)
