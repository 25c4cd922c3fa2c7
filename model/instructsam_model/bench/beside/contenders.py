"""`Contender`: one of the segmenters that are compared, of a checkpoint or of full size with random weights."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer, Sam3Config, Sam3ImageProcessor

from instructsam_model.backends import find_checkpoint_backend, load_segmenter
from instructsam_model.bench.hooks import hooks_of
from instructsam_model.bench.scenarios import DEFAULT_PHRASE
from instructsam_model.datatypes import Segmenter, Selection
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.instructsam.random_weights import random_segmenter, scripted_phrases
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.random_weights import fill_randomly
from instructsam_model.sam3.boxes import keep_float32
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.phrase_tokens import PHRASE_TOKENS
from instructsam_model.sam3.segmenter import Sam3Segmenter
from instructsam_model.sam3.transformers_detector import TransformersPhraseDetector
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.detector import Sam3IPhraseDetector
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.sam3i.reading import LevelReader
from instructsam_model.weights import embedded

KEPT = Selection(min_score=0.0, max_instances=10)
"""Random weights score about alike; as many instances are kept as InstructSAM has slots."""


PHRASE_LENGTH = 6
"""Tokens of the phrase in InstructSAM's scripted answer, the default of `random_segmenter`."""


@dataclass(frozen=True)
class Contender:
    """A segmenter under its name in the table.

    Attributes:
        name: back end, and level or checkpoint.
        segmenter: loaded.
        parameters: number of parameters; None if unknown.
        weight_bytes: size of the parameters; None if unknown.
        phrase: that the instructions ask for; InstructSAM's scripted answer repeats it.
    """

    name: str
    segmenter: Segmenter
    parameters: int | None
    weight_bytes: int | None
    phrase: str = DEFAULT_PHRASE


def load_contenders(checkpoints: Sequence[str], device: str, dtype: str) -> Iterator[Contender]:
    """Load checkpoints one after the other, each by the back end that reads it; one of SAM3-I at each level.

    Raises:
        CheckpointError: a checkpoint is missing or unusable.
    """
    for checkpoint in checkpoints:
        backend = find_checkpoint_backend(checkpoint).name
        levels = [level.value for level in Level] if backend == 'sam3i' else ['']
        for level in levels:
            options: dict[str, Any] = {'level': level} if level else dict(hooks_of(backend).caching)
            segmenter = load_segmenter(checkpoint, backend, device, dtype, threads=torch.get_num_threads(), **options)
            facts = hooks_of(backend)(segmenter).describe()
            name = ' '.join(filter(None, (backend, level, Path(checkpoint).name)))
            yield Contender(name, segmenter, facts['parameters'], segmenter.memory_bytes())
            _free(segmenter)


def make_contenders(
    device: torch.device,
    dtype: torch.dtype,
    architecture: Path | None = None,
    make_engine: Callable[[InstructSAM], Engine] | None = None,
) -> Iterator[Contender]:
    """Make networks of the published sizes with random weights, one after the other.

    Args:
        device: of the networks.
        dtype: of the parameters.
        architecture: folder with the `config.json` of an InstructSAM network; None to leave it out.
        make_engine: makes InstructSAM's engine; None for the default one.

    Raises:
        CheckpointError: the architecture cannot be read.
    """
    yield from _make_sam3(device, dtype)
    if architecture is not None:
        options = replace(InstructSAMOptions(), **hooks_of('instructsam').caching)
        segmenter = random_segmenter(
            architecture, embedded.FOLDER, device=device, dtype=dtype, make_engine=make_engine, options=options
        )
        phrase = scripted_phrases(segmenter.preprocessor, PHRASE_LENGTH)
        yield replace(_contender('instructsam', segmenter, segmenter.network), phrase=phrase)
        _free(segmenter)


def _make_sam3(device: torch.device, dtype: torch.dtype) -> Iterator[Contender]:
    """Yield SAM3, and SAM3-I at each level, of one network after the other."""
    # Single bytes make long texts, of which the benchmark has many.
    logging.getLogger(LevelReader.__module__).setLevel(logging.ERROR)
    config, images = Sam3Config(), Sam3ImageProcessor()
    tokenizer = byte_tokenizer(config.text_config.bos_token_id, config.text_config.eos_token_id)
    with init_empty_weights(include_buffers=False):
        detector = Sam3Detector(config)
    plain = TransformersPhraseDetector(
        _filled(detector, device, dtype), tokenizer, images, has_geometry_token=True, resizes_logits=True
    )
    segmenter = Sam3Segmenter(plain, selection=KEPT)
    yield _contender('sam3', segmenter, detector)
    with init_empty_weights(include_buffers=False):
        network = Sam3I(detector, Sam3IConfig())
    fill_randomly(network.adapters, device, dtype)
    network.eval().requires_grad_(False)
    for level in Level:
        leveled = Sam3IPhraseDetector(network, images)
        segmenter = Sam3Segmenter(leveled, selection=KEPT, read_instruction=LevelReader(tokenizer, level))
        yield _contender(f'sam3i {level.value}', segmenter, network)


def _filled(detector: Sam3Detector, device: torch.device, dtype: torch.dtype) -> Sam3Detector:
    fill_randomly(detector, device, dtype)
    keep_float32(detector.model.detr_decoder)
    return detector.to(device).eval().requires_grad_(False)


def _contender(name: str, segmenter: Segmenter, network: torch.nn.Module) -> Contender:
    return Contender(name, segmenter, sum(each.numel() for each in network.parameters()), count_bytes(network))


def byte_tokenizer(begin: int, end: int) -> CLIPTokenizer:
    """Return a tokenizer with the special tokens of CLIP's and single bytes instead of its word pieces."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*letters, *(f'{each}</w>' for each in letters)])}
    vocabulary |= {'<|startoftext|>': begin, '<|endoftext|>': end}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=PHRASE_TOKENS)


def _free(segmenter: Segmenter) -> None:
    segmenter.close()
    gc.collect()
