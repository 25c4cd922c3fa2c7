"""The subject of `instructsam-bench --architecture`: InstructSAM with random weights and scripted answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from instructsam_model.bench.instructsam.hooks import InstructSAMHooks
from instructsam_model.bench.instructsam.options import read_options, recorded_options
from instructsam_model.bench.subject import Subject
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.random_weights import random_segmenter, scripted_phrases
from instructsam_model.runtime.device import parse_device
from instructsam_model.runtime.precision import DTYPES, resolve_dtype
from instructsam_model.weights.hub import read_json


def open_random_subject(
    arguments: argparse.Namespace, make_engine: Callable[[InstructSAM], Engine] | None = None
) -> Subject:
    """Make the segmenter of a command line with an architecture.

    Args:
        arguments: of the command line.
        make_engine: makes the engine of the network; None for that of the options.

    Raises:
        CheckpointError: the architecture or the tokenizer cannot be read.
        ConfigError: an argument is out of range.
    """
    # As in `load_segmenter`, dtype auto means the stored one on a GPU.
    device = parse_device(arguments.device)
    segmenter = random_segmenter(
        arguments.architecture,
        arguments.tokenizer,
        device=device,
        dtype=resolve_dtype(arguments.dtype, device) or stored_dtype(arguments.architecture),
        phrase_tokens=arguments.phrase_tokens,
        phrases=arguments.phrases,
        num_queries=arguments.queries,
        make_engine=make_engine,
        options=replace(read_options(arguments), **InstructSAMHooks.caching),
    )
    # Instructions contain the phrase, so that prompt lookup finds the words of the answer.
    phrase = scripted_phrases(segmenter.preprocessor, arguments.phrase_tokens, arguments.phrases)
    return Subject(segmenter, device, InstructSAMHooks(segmenter), phrase, recorded_options(arguments))


def stored_dtype(architecture: Path) -> torch.dtype:
    """Return the dtype in an architecture's `config.json`; float32 if there is none."""
    return DTYPES.get(str(read_json(architecture / 'config.json').get('dtype')), torch.float32)
