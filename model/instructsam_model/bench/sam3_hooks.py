"""Hooks of SAM3 and SAM3-I: the description of their network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from instructsam_model.bench.hooks import Hooks
from instructsam_model.datatypes import Segmenter
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.sam3.meta_detector import MetaPhraseDetector
from instructsam_model.sam3.prompted_detector import PromptedDetector
from instructsam_model.sam3.segmenter import Sam3Segmenter
from instructsam_model.sam3i.detector import Sam3IPhraseDetector


class Sam3Hooks(Hooks):
    """Hooks of the back ends `sam3` and `sam3i`.

    Args:
        segmenter: a `Sam3Segmenter`.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__(segmenter)
        assert isinstance(segmenter, Sam3Segmenter)
        self._detector = segmenter.detector

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, except those of the boxes."""
        return next(self._network().parameters()).dtype

    def describe(self) -> dict[str, Any]:
        """Return the entries of the result that describe the network."""
        network = self._network()
        return {
            'parameters': sum(parameter.numel() for parameter in network.parameters()),
            # Weights alone; `memory_bytes` includes caches on a GPU.
            'weights_gib': round(count_bytes(network) / 2**30, 3),
            'dtype': str(self.dtype).removeprefix('torch.'),
            'queries': self._detector.num_queries,
        }

    def _network(self) -> nn.Module:
        if isinstance(self._detector, Sam3IPhraseDetector):
            return self._detector.network
        if isinstance(self._detector, PromptedDetector):
            return self._detector.detector
        assert isinstance(self._detector, MetaPhraseDetector)
        network: nn.Module = self._detector.model
        return network
