"""`load_segmenter`: a checkpoint's segmenter on a device."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from instructsam_model.datatypes import Selection
from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.checkpoint import read_network, resolve_sam3
from instructsam_model.instructsam.engine.choose import check_engine, choose_engine
from instructsam_model.instructsam.image_sizes import with_image_sizes
from instructsam_model.instructsam.inference_mode import get_inference_mode
from instructsam_model.instructsam.preprocess import read_preprocessor
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.device import parse_device
from instructsam_model.runtime.precision import resolve_dtype
from instructsam_model.runtime.quantization import UNQUANTIZED
from instructsam_model.runtime.threads import Threads
from instructsam_model.weights import bundled
from instructsam_model.weights.hub import resolve_checkpoint

logger = logging.getLogger(__name__)


def load_segmenter(
    checkpoint: str | Path = '',
    *,
    device: str = 'auto',
    dtype: str = 'auto',
    engine: str = 'auto',
    protocol: str = 'trained',
    selection: Selection | None = None,
    max_new_tokens: int = 256,
    reuse_answers: bool = False,
    steady_frames: int = 0,
    max_pixels: int = 0,
    sam3_size: int = 0,
    quantization: str = UNQUANTIZED,
    threads: int = 0,
    sam3: str | Path | None = None,
    revision: str | None = None,
) -> InstructSAMSegmenter:
    """Load a checkpoint in the published layout.

    Args:
        checkpoint: a folder, or an id on the Hugging Face hub such as `CircleRadon/InstructSAM-2B`; when empty, the
            small network of this package, which knows simulated tabletops; the log says so.
        device: `auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`, ...
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: on a CPU bfloat16 where that is faster, else float32, see
            `resolve_dtype`; on a GPU as stored, the small network in float32.
        engine: `auto`, `eager` or `compiled`, see `choose_engine`.
        protocol: `trained` or `released`, see `InferenceMode`.
        selection: default thresholds of `segment`.
        max_new_tokens: longest answer; a phrase takes about six tokens.
        reuse_answers: faster where an instruction stands over many frames, see `InstructSAMSegmenter`.
        steady_frames: faster still where the picture hardly changes, and no longer exact, likewise.
        max_pixels: images are shrunk to so many for the language model; 0 for the checkpoint's bound.
        sam3_size: side of the square that SAM3 sees, pixels: a multiple of its attention windows, 336 of the published
            one; 0 for the checkpoint's.
        quantization: `none`, `int8` or `fp8`, which halves the memory of 16-bit weights; expects torchao. What it costs
            and loses, as the two sizes do, is in docs/gpus.md.
        threads: of the CPU that an answer takes; 0 for as many as are free at the time, see `Threads`. Beside other
            processes they are slow unless `prepare_threads` was called before torch was imported.
        sam3: folder or hub id of SAM3's configuration, where the one that the checkpoint names is elsewhere.
        revision: branch, tag or commit on the hub.

    Raises:
        CheckpointError: the checkpoint cannot be found, read or used; the message names the file.
        ConfigError: an argument is not one of those above.
    """
    torch_device = parse_device(device)
    get_inference_mode(protocol)
    check_engine(engine)
    # What is compiled is compiled anew for another number of threads, so that it must not follow what is free.
    counted = Threads(threads or (Threads().count() if engine == 'compiled' else 0))
    precision = resolve_dtype(dtype, torch_device)
    if not checkpoint:
        if not bundled.FOLDER.is_dir():
            raise CheckpointError(bundled.MISSING)
        logger.warning(bundled.NOTE)
        checkpoint, precision = bundled.FOLDER, precision or torch.float32
    if torch_device.type == 'cpu':
        logger.info('threads: %s', counted)
    folder = resolve_checkpoint(checkpoint, revision=revision)
    sam3_folder = resolve_sam3(folder, sam3)
    network = read_network(
        folder,
        sam3_folder,
        device=torch_device,
        dtype=precision,
        sam3_size=sam3_size,
        quantization=quantization,
    )
    preprocessor = read_preprocessor(folder, sam3_folder, network.config.qwen.image_token_id)
    preprocessor = with_image_sizes(preprocessor, max_pixels=max_pixels, sam3_size=sam3_size)
    return InstructSAMSegmenter(
        network,
        preprocessor,
        engine=choose_engine(network, engine),
        protocol=protocol,
        selection=selection,
        max_new_tokens=max_new_tokens,
        reuse_answers=reuse_answers,
        steady_frames=steady_frames,
        threads=counted if threads or torch_device.type == 'cpu' else None,
    )
