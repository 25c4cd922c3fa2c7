"""`Hooks`: measurements that depend on the back end. Those of this module are for back ends without their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import torch

from instructsam_model.datatypes import Frame, Instruction, Segmenter
from instructsam_model.errors import ConfigError

BACKEND_HOOKS = {
    'instructsam': 'instructsam_model.bench.instructsam.hooks:InstructSAMHooks',
    'sam3': 'instructsam_model.bench.sam3_hooks:Sam3Hooks',
    'sam3i': 'instructsam_model.bench.sam3_hooks:Sam3Hooks',
}
"""Hooks by the name of the back end."""


class Hooks:
    """Hooks of a back end without its own.

    Args:
        segmenter: the segmenter that is measured.

    Attributes:
        caching: options of the back end that enable all its caching.
    """

    caching: Mapping[str, Any] = {}

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return torch.float32

    def describe(self) -> dict[str, Any]:
        """Return the entries of the result that describe the network; `parameters` is None if unknown."""
        # The same keys for every back end, so that tables find them.
        weights = self._segmenter.memory_bytes()
        return {
            'parameters': None,
            'weights_gib': None if weights is None else round(weights / 2**30, 3),
            'dtype': str(self.dtype).removeprefix('torch.'),
            'queries': None,
        }

    def segment_naively(self) -> Callable[[Frame, Instruction], object]:
        """Return a function that handles a request without any caching."""
        raise ConfigError('--compare-naive: expected the back end instructsam')

    def check_accuracy(self, frame: Frame, instruction: Instruction) -> dict[str, Any]:
        """Compare a result with float32 on the CPU."""
        raise ConfigError('--check: expected the back end instructsam')

    def run_experiments(self, new_frame: Callable[[], Frame], repeats: int) -> Iterator[dict[str, Any]]:
        """Measure changes that may make the network faster."""
        raise ConfigError('--experiments: expected the back end instructsam')


def hooks_of(backend: str) -> type[Hooks]:
    """Return the hooks of a back end."""
    if backend not in BACKEND_HOOKS:
        return Hooks
    # Imported by name, because hooks import the package of their back end.
    module, _, name = BACKEND_HOOKS[backend].partition(':')
    hooks: type[Hooks] = getattr(import_module(module), name)
    return hooks
