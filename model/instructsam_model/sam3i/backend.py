"""The back end `sam3i`: SAM3 with adapters for instructions, without a language model. Imports torch only to load."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from instructsam_model.backends import Backend, LoadSettings
from instructsam_model.sam3i.files import matches
from instructsam_model.sam3i.levels import Level, trained_levels
from instructsam_model.sam3i.options import AUTO_LEVEL, Sam3IOptions
from instructsam_model.weights.hub import CheckpointSource

if TYPE_CHECKING:
    from instructsam_model.sam3.segmenter import Sam3Segmenter

logger = logging.getLogger(__name__)


def load(source: CheckpointSource, settings: LoadSettings, options: Sam3IOptions) -> Sam3Segmenter:
    """Load a checkpoint.

    `dtype` auto is bfloat16 on a GPU, in which the public code runs too; the published files are in float32.

    Raises:
        CheckpointError: a file is missing or unusable; the message names it.
        ConfigError: a setting or option is out of range.
    """
    import torch

    from instructsam_model.runtime.device import parse_device
    from instructsam_model.runtime.precision import resolve_dtype
    from instructsam_model.runtime.threads import Threads
    from instructsam_model.sam3.checkpoint import read_image_processor, read_tokenizer
    from instructsam_model.sam3.files import find_tokenizer
    from instructsam_model.sam3.reading import split_phrases
    from instructsam_model.sam3.segmenter import Sam3Segmenter
    from instructsam_model.sam3i.checkpoint import read_sam3i
    from instructsam_model.sam3i.detector import Sam3IPhraseDetector
    from instructsam_model.sam3i.reading import LevelReader

    device = parse_device(settings.device)
    threads = Threads(settings.threads)
    if device.type == 'cpu':
        logger.info('threads: %s', threads)
    loaded = read_sam3i(
        source,
        device=device,
        # None, on a GPU, means the dtype of the file, which is float32.
        dtype=resolve_dtype(settings.dtype, device) or torch.bfloat16,
        base=options.base,
        adapter_heads=options.adapter_heads,
        adapter_scale=options.adapter_scale,
    )
    if options.level != AUTO_LEVEL and Level(options.level) not in trained_levels(loaded.stage):
        logger.warning(
            'level %s: its adapters are not trained in stage %s of this checkpoint', options.level, loaded.stage
        )
    detector = Sam3IPhraseDetector(loaded.network, read_image_processor(loaded.files))
    logger.info('finds at most %d instances per instruction', detector.num_queries)
    return Sam3Segmenter(
        detector,
        selection=settings.selection,
        read_instruction=LevelReader(
            read_tokenizer(find_tokenizer(loaded.files.folder, options.tokenizer)),
            None if options.level == AUTO_LEVEL else Level(options.level),
            concepts=split_phrases(options.concepts, ',') if options.concepts.strip(' ,') else (),
            phrase_separator=options.phrase_separator,
        ),
        max_mask_iou=options.max_mask_iou,
        threads=threads if settings.threads or device.type == 'cpu' else None,
    )


BACKEND = Backend(
    name='sam3i',
    description='SAM3-I: SAM3 with adapters for instructions of three levels, without a language model '
    '(arXiv 2512.04585).',
    options=Sam3IOptions,
    matches=matches,
    load=load,
)
