"""Hooks of InstructSAM: naive inference, accuracy on a device, and experiments with the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from instructsam_model.bench.hooks import Hooks
from instructsam_model.bench.instructsam.accuracy import check_against_cpu
from instructsam_model.bench.instructsam.experiments import run_experiments
from instructsam_model.bench.instructsam.naive import NaivePipeline
from instructsam_model.datatypes import Frame, Instruction, Segmenter
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.quantization import count_bytes


class InstructSAMHooks(Hooks):
    """Hooks of the back end `instructsam`.

    Args:
        segmenter: an `InstructSAMSegmenter`.
    """

    # More unchanged frames than a benchmark has, so that `steady` always reuses the answer.
    caching: Mapping[str, Any] = {'speculative_decoding': True, 'max_cached_frames': 1000}

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__(segmenter)
        assert isinstance(segmenter, InstructSAMSegmenter)
        self._instructsam = segmenter

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self._instructsam.network.dtype

    def describe(self) -> dict[str, Any]:
        """Return the entries of the result that describe the network."""
        network = self._instructsam.network
        return {
            'parameters': sum(parameter.numel() for parameter in network.parameters()),
            # Weights alone; `memory_bytes` includes caches on a GPU.
            'weights_gib': round(count_bytes(network) / 2**30, 3),
            'dtype': str(self.dtype).removeprefix('torch.'),
            'queries': network.config.num_queries,
        }

    def segment_naively(self) -> Callable[[Frame, Instruction], object]:
        """Return a function that handles a request without any caching."""
        return NaivePipeline(self._instructsam).segment

    def check_accuracy(self, frame: Frame, instruction: Instruction) -> dict[str, Any]:
        """Compare a result with float32 on the CPU."""
        return check_against_cpu(self._instructsam, frame, instruction)

    def run_experiments(self, new_frame: Callable[[], Frame], repeats: int) -> Iterator[dict[str, Any]]:
        """Measure changes that may make the network faster."""
        return run_experiments(self._instructsam, new_frame, repeats)
