"""The back end `instructsam`: checkpoints in the layout of `CircleRadon/InstructSAM-2B`. Imports torch only to load."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from instructsam_model.backends import Backend, LoadSettings, load_segmenter
from instructsam_model.datatypes import Segmenter
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.instructsam.variant import ABLATIONS, NO_ABLATION
from instructsam_model.rounds import RepeatingSegmenter
from instructsam_model.weights import embedded
from instructsam_model.weights.hub import CheckpointSource

if TYPE_CHECKING:
    import torch

    from instructsam_model.instructsam.network import InstructSAM
    from instructsam_model.instructsam.preprocess import Preprocessor
    from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
    from instructsam_model.runtime.threads import Threads

logger = logging.getLogger(__name__)

ARCHITECTURE = 'InstructSAMForConditionalGeneration'
QUERY_COUNT_KEY = 'max_seg_nums'
"""Key that the method adds to Qwen3-VL's configuration."""


def matches(source: CheckpointSource) -> bool:
    """Return whether the configuration is that of an InstructSAM checkpoint."""
    return QUERY_COUNT_KEY in source.config or ARCHITECTURE in (source.config.get('architectures') or ())


def load(source: CheckpointSource, settings: LoadSettings, options: InstructSAMOptions) -> Segmenter:
    """Load a checkpoint.

    Raises:
        CheckpointError: a file is missing or unusable; the message names it.
        ConfigError: a setting or option is out of range.
    """
    # Imported late: --help and the node's parameters need the options only.
    from instructsam_model.instructsam.engine.choose import choose_engine
    from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
    from instructsam_model.runtime.device import parse_device

    device = parse_device(settings.device)
    threads = _choose_threads(settings.threads, device, options)
    network, preprocessor = _read(source, device, settings.dtype, options)
    if options.ablation != NO_ABLATION:
        logger.warning('ablation %s: results are not those of the checkpoint', options.ablation)
        variant = replace(network.config.variant, **ABLATIONS[options.ablation])
        network.config = replace(network.config, variant=variant)
    each = f' in each of {options.max_rounds} rounds' if options.max_rounds > 1 else ''
    logger.info('finds at most %d instances per phrase%s', network.config.num_queries, each)
    segmenter = InstructSAMSegmenter(
        network,
        preprocessor,
        engine=choose_engine(network, options.engine),
        inference_mode=options.inference_mode,
        selection=settings.selection,
        max_new_tokens=options.max_new_tokens,
        speculative_decoding=options.speculative_decoding,
        max_cached_frames=options.max_cached_frames,
        max_mask_iou=options.max_mask_iou,
        threads=threads,
    )
    if options.max_rounds == 1:
        return segmenter
    return RepeatingSegmenter(segmenter, options.max_rounds, network.config.num_queries, segmenter.selection)


def _read(
    source: CheckpointSource, device: torch.device, dtype: str, options: InstructSAMOptions
) -> tuple[InstructSAM, Preprocessor]:
    """Read network and preprocessor of a checkpoint, with the image sizes of the options."""
    import torch

    from instructsam_model.instructsam.adapter import read_adapter
    from instructsam_model.instructsam.checkpoint import read_network, resolve_sam3
    from instructsam_model.instructsam.consistency import check_consistency
    from instructsam_model.instructsam.image_sizes import with_image_sizes
    from instructsam_model.instructsam.preprocess import read_preprocessor
    from instructsam_model.runtime.precision import resolve_dtype

    weights_dtype = resolve_dtype(dtype, device)
    if source.path == embedded.FOLDER:  # float32 on a GPU too
        weights_dtype = weights_dtype or torch.float32
    sam3_folder = resolve_sam3(source.path, options.sam3_config or None)
    network = read_network(
        source.path,
        sam3_folder,
        device=device,
        dtype=weights_dtype,
        sam3_size=options.sam3_size,
        quantization=options.quantization,
        adapter=read_adapter(options.adapter) if options.adapter else None,
    )
    preprocessor = read_preprocessor(source.path, sam3_folder, network.config.qwen.image_token_id)
    preprocessor = with_image_sizes(preprocessor, max_pixels=options.max_pixels, sam3_size=options.sam3_size)
    check_consistency(source.path, network.config, preprocessor)
    return network, preprocessor


def _choose_threads(count: int, device: torch.device, options: InstructSAMOptions) -> Threads | None:
    """Return the CPU threads of inference; None for torch's present setting."""
    from instructsam_model.runtime.threads import Threads

    if not count and device.type != 'cpu':
        return None
    # torch compiles code for a number of threads, so with compilation the number must not follow the idle CPUs.
    threads = Threads(count or (Threads().count() if options.engine == 'compiled' else 0))
    if device.type == 'cpu':
        logger.info('threads: %s', threads)
    return threads


BACKEND = Backend(
    name='instructsam',
    description='InstructSAM: free-form instructions, read by a vision-language model (arXiv 2605.26102).',
    options=InstructSAMOptions,
    matches=matches,
    load=load,
    evaluation_options={'speculative_decoding': False, 'max_cached_frames': 0},
)


def load_instructsam(checkpoint: str | Path = '', **options: Any) -> InstructSAMSegmenter:
    """Load an InstructSAM checkpoint for callers that need its network; arguments are those of `load_segmenter`.

    `max_rounds` stays 1.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    return cast(
        'InstructSAMSegmenter', load_segmenter(checkpoint, **options | {'backend': BACKEND.name, 'max_rounds': 1})
    )
