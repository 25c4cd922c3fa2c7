"""The back end `sam3`: SAM3 with concept phrases, without a language model. Imports torch only to load."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from instructsam_model.backends import Backend, LoadSettings
from instructsam_model.sam3.files import Sam3Files, find_files, find_tokenizer, matches
from instructsam_model.sam3.options import Sam3Options
from instructsam_model.weights.hub import CheckpointSource

if TYPE_CHECKING:
    import torch

    from instructsam_model.sam3.phrase_detector import PhraseDetector
    from instructsam_model.sam3.segmenter import Sam3Segmenter

logger = logging.getLogger(__name__)


def load(source: CheckpointSource, settings: LoadSettings, options: Sam3Options) -> Sam3Segmenter:
    """Load a checkpoint.

    `dtype` auto is bfloat16 on a GPU, in which Meta runs SAM3 too; the published files are in float32.

    Raises:
        CheckpointError: a file is missing or unusable; the message names it.
        ConfigError: a setting or option is out of range, or the package that it needs is not installed.
    """
    import torch

    from instructsam_model.runtime.device import parse_device
    from instructsam_model.runtime.precision import resolve_dtype
    from instructsam_model.runtime.threads import Threads
    from instructsam_model.sam3.reading import PhraseReader
    from instructsam_model.sam3.segmenter import Sam3Segmenter

    device = parse_device(settings.device)
    # None, on a GPU, means the dtype of the file, which is float32.
    dtype = resolve_dtype(settings.dtype, device) or torch.bfloat16
    threads = Threads(settings.threads)
    if device.type == 'cpu':
        logger.info('threads: %s', threads)
    load_detector = _load_meta if options.implementation == 'meta' else _load_transformers
    detector = load_detector(find_files(source), device, dtype, options)
    logger.info('finds at most %d instances per phrase', detector.num_queries)
    return Sam3Segmenter(
        detector,
        selection=settings.selection,
        read_instruction=PhraseReader(options.phrase_separator),
        max_mask_iou=options.max_mask_iou,
        threads=threads if settings.threads or device.type == 'cpu' else None,
    )


def _load_transformers(
    files: Sam3Files, device: torch.device, dtype: torch.dtype, options: Sam3Options
) -> PhraseDetector[Any, str]:
    from instructsam_model.sam3.checkpoint import (
        META_LAYER_NORM_EPS,
        read_config,
        read_detector,
        read_image_processor,
        read_tokenizer,
    )
    from instructsam_model.sam3.transformers_detector import TransformersPhraseDetector

    tokenizer = read_tokenizer(find_tokenizer(files.folder, options.tokenizer))
    # `auto`: like the code that the weights were published with.
    is_meta = {'auto': files.meta_weights is not None, 'meta': True, 'transformers': False}[options.conventions]
    config = read_config(files, META_LAYER_NORM_EPS if is_meta else None)
    return TransformersPhraseDetector(
        read_detector(files, config, device=device, dtype=dtype),
        tokenizer,
        read_image_processor(files),
        has_geometry_token={'auto': is_meta, 'on': True, 'off': False}[options.geometry_cls_token],
        resizes_logits=is_meta,
    )


def _load_meta(
    files: Sam3Files, device: torch.device, dtype: torch.dtype, options: Sam3Options
) -> PhraseDetector[Any, str]:
    from instructsam_model.sam3.meta_detector import load_meta_detector

    return load_meta_detector(files, find_tokenizer(files.folder, options.tokenizer), device, dtype)


BACKEND = Backend(
    name='sam3',
    description='SAM3: short noun phrases such as "red mug", without a language model (arXiv 2511.16719).',
    options=Sam3Options,
    matches=matches,
    load=load,
)
