"""Initial weights of a run: a checkpoint, random weights, or pretrained Qwen3-VL and SAM3."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from instructsam_model.backends import resolve_checkpoint
from instructsam_model.instructsam.adapter import read_adapter
from instructsam_model.instructsam.build import build_segmentation_network
from instructsam_model.instructsam.checkpoint import (
    build_empty,
    read_model_config,
    read_network,
    resolve_sam3,
)
from instructsam_model.instructsam.config import with_queries
from instructsam_model.instructsam.consistency import check_consistency
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.parameters import QUERY_TABLES
from instructsam_model.instructsam.preprocess import Preprocessor, read_preprocessor
from instructsam_training.config.options import StartConfig

CPU = torch.device('cpu')
NUM_QUERIES = 10
"""K in the paper."""
COPY_NOISE_STD = 0.1
"""Standard deviation of the noise on copied queries, relative to that of the queries."""


def load_initial_weights(start: StartConfig, seed: int) -> tuple[InstructSAM, Preprocessor]:
    """Load or build the network of the first stage, in float32.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if not start.checkpoint:
        network, preprocessor = build_segmentation_network(
            start.qwen, start.sam3, num_queries=start.num_queries or NUM_QUERIES, dtype=torch.float32, seed=seed
        )
    elif start.random:
        network, preprocessor = build_random(resolve_checkpoint(start.checkpoint).path, seed)
    else:
        network, preprocessor = load_checkpoint(start.checkpoint, start.adapter)
    if start.reset_queries:
        reset_queries(network, seed)
    if start.num_queries not in (None, network.config.num_queries):
        network = resize_queries(network, start.num_queries, seed)
    if start.variant is not None:
        network.config = replace(network.config, variant=start.variant)
    return network, preprocessor


def load_checkpoint(checkpoint: str | Path, adapter: str = '') -> tuple[InstructSAM, Preprocessor]:
    """Load a checkpoint for training, with the whole weights of an adapter, whose factors `load_factors` adds."""
    folder = resolve_checkpoint(checkpoint).path
    sam3_folder = resolve_sam3(folder)
    whole = replace(read_adapter(adapter), factors={}) if adapter else None
    network = read_network(folder, sam3_folder, device=CPU, dtype=torch.float32, adapter=whole)
    preprocessor = read_preprocessor(folder, sam3_folder, network.config.qwen.image_token_id)
    check_consistency(folder, network.config, preprocessor)
    return network, preprocessor


def build_random(checkpoint: Path, seed: int) -> tuple[InstructSAM, Preprocessor]:
    """Build the network of a checkpoint with random weights."""
    sam3_folder = resolve_sam3(checkpoint)
    config = read_model_config(checkpoint, sam3_folder)
    torch.manual_seed(seed)
    network = InstructSAM(config)
    init_reference_boxes(network)
    preprocessor = read_preprocessor(checkpoint, sam3_folder, config.qwen.image_token_id)
    check_consistency(checkpoint, config, preprocessor)
    return network, preprocessor


@torch.no_grad()
def reset_queries(network: InstructSAM, seed: int) -> None:
    """Reset the query bank to 0 and the projection of the queries to random weights, as before the first stage."""
    torch.manual_seed(seed)
    nn.init.zeros_(network.model.mask_queries)
    for layer in network.model.mask_hidden_fcs.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()


@torch.no_grad()
def resize_queries(network: InstructSAM, count: int, seed: int) -> InstructSAM:
    """Change the number of queries K: keep the first ones, or add noisy copies."""
    config = network.config
    resized = build_empty(replace(config, num_queries=count, sam3=with_queries(config.sam3, count)))
    tensors = network.state_dict()
    generator = torch.Generator().manual_seed(seed)
    for name in QUERY_TABLES:
        rows = tensors[name]  # [K, D]
        # Noise makes the copies differ from their originals, so that gradients can separate them.
        copies = rows[torch.arange(len(rows), max(count, len(rows))) % len(rows)]
        noise = torch.randn(copies.shape, generator=generator) * rows.std() * COPY_NOISE_STD
        tensors[name] = torch.cat([rows[:count], copies + noise])
    resized.load_state_dict(tensors, assign=True)
    resized.tie_weights()  # assigned tensors are new parameters
    return resized


@torch.no_grad()
def init_reference_boxes(network: InstructSAM) -> None:
    """Spread the reference boxes of the queries over the image, as in a trained SAM3.

    Random ones all lie in the center of the image, and queries that start equal take long to find different instances.
    """
    decoder, count = network.model.grounding_model.model.detr_decoder, network.config.num_queries
    # A grid with about twice as many columns as rows; each box is (x, y, width, height), relative to the image.
    rows = max(round((count / 2) ** 0.5), 1)
    columns = -(-count // rows)
    boxes = [((i % columns + 0.5) / columns, (i // columns + 0.5) / rows, 0.2, 0.25) for i in range(count)]
    # The decoder applies a sigmoid to its reference points.
    decoder.reference_points.weight.copy_(torch.tensor(boxes).logit())
    nn.init.normal_(decoder.query_embed.weight)


def load_architecture(start: StartConfig) -> tuple[InstructSAM, Preprocessor]:
    """Build the network of the first stage without weights, on the meta device, with its preprocessor.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if not start.checkpoint:  # Qwen3-VL and SAM3 are combined while their weights are read
        network, preprocessor = load_initial_weights(start, seed=0)
        return network.to('meta'), preprocessor
    folder = resolve_checkpoint(start.checkpoint).path
    network = build_meta_network(replace(start, checkpoint=str(folder)))
    preprocessor = read_preprocessor(folder, resolve_sam3(folder), network.config.qwen.image_token_id)
    if start.num_queries:
        network.config = replace(network.config, num_queries=start.num_queries)
    return network, preprocessor


def build_meta_network(start: StartConfig, architecture: Path | None = None) -> InstructSAM:
    """Build the network without weights, on the meta device; `architecture` is a folder with another config.json."""
    folder = architecture or resolve_checkpoint(start.checkpoint).path
    return build_empty(read_model_config(folder, resolve_sam3(folder)))
