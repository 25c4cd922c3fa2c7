"""`Subject`: the segmenter that is measured."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

import torch

from instructsam_model.backend_arguments import backend_arguments, given_options
from instructsam_model.backends import find_checkpoint_backend, load_segmenter, own_options
from instructsam_model.bench.arguments import parse_size
from instructsam_model.bench.hooks import Hooks, hooks_of
from instructsam_model.bench.scenarios import DEFAULT_PHRASE, Bench
from instructsam_model.datatypes import Segmenter
from instructsam_model.runtime.device import parse_device


@dataclass(frozen=True)
class Subject:
    """A segmenter and its settings in the benchmark.

    Attributes:
        segmenter: of any back end.
        device: of the segmenter.
        hooks: of its back end.
        phrase: the phrase to ask for.
        options: recorded options of the back end.
    """

    segmenter: Segmenter
    device: torch.device
    hooks: Hooks
    phrase: str = DEFAULT_PHRASE
    options: dict[str, Any] = field(default_factory=dict)

    def make_bench(self, arguments: argparse.Namespace) -> Bench:
        """Make the benchmark of a command line."""
        naive = self.hooks.segment_naively() if arguments.compare_naive else None
        size_wh = parse_size(arguments.size)
        return Bench(self.segmenter, self.device, size_wh, cameras=arguments.cameras, naive=naive, phrase=self.phrase)


def open_subject(arguments: argparse.Namespace) -> Subject:
    """Load the segmenter of a command line with all its caching, or make one with random weights.

    Raises:
        CheckpointError: the checkpoint or the architecture cannot be read.
        ConfigError: an argument is out of range.
    """
    if arguments.architecture is not None:
        from instructsam_model.bench.instructsam.random_subject import open_random_subject

        return open_random_subject(arguments)
    device = parse_device(arguments.device)
    backend = find_checkpoint_backend(arguments.checkpoint, arguments.backend)
    hooks = hooks_of(backend.name)
    given = backend_arguments(arguments)
    caching = {f'{backend.name}.{name}': value for name, value in hooks.caching.items()}
    # All caching, unless the command line says otherwise; a fixed number of threads, because the default follows the
    # load of the machine, which would add noise.
    segmenter = load_segmenter(**caching | given | {'backend': backend.name, 'threads': torch.get_num_threads()})
    return Subject(segmenter, device, hooks(segmenter), options=own_options(backend, given_options(arguments)))
