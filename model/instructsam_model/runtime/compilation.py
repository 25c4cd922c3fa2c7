"""Compiling the layers of a network, or not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

CACHE_VARIABLE = 'TORCHINDUCTOR_CACHE_DIR'
Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]
"""Makes a function faster, or gives it back."""
RECOMPILE_LIMIT = 64
"""Of one layer: a few text sizes for each of a few image sizes, and two ways to read."""


def run_eagerly(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function as it is."""
    return function


class InductorCompiler:
    """Compiles layers with `torch.compile`, once for all layers of a kind and for each of their shapes.

    What was compiled is kept on disk, so that a restart need not do it again: in `TORCHINDUCTOR_CACHE_DIR`, or else in
    `instructsam/inductor` of the user's cache.

    Args:
        backend: of `torch.compile`.
    """

    def __init__(self, backend: str = 'inductor') -> None:
        self._backend = backend
        os.environ.setdefault(CACHE_VARIABLE, str(user_cache() / 'instructsam' / 'inductor'))
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT)

    def __call__(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Compile a layer when it is first called."""
        return _Compiled(function, self._backend)


class _Compiled:
    """A compiled function, or the function itself once compiling it has failed."""

    _failed: set[str] = set()  # noqa: RUF012  # of what kind nothing can be compiled here, whoever asks

    def __init__(self, function: Callable[..., Tensor], backend: str) -> None:
        self._function = function
        self._kind = type(function).__name__
        self._compiled = torch.compile(function, backend=backend, fullgraph=True, dynamic=False)

    def __call__(self, *arguments: object) -> Tensor:
        """Call the function."""
        if self._kind in self._failed:
            return self._function(*arguments)
        try:
            return self._compiled(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            # A robot without a C++ compiler, or a card that Triton does not know, still answers, if slower.
            self._failed.add(self._kind)
            reason = str(error).strip().splitlines()[0]
            logger.warning(
                'engine: %s cannot be compiled here and runs uncompiled (%s: %s)',
                self._kind,
                type(error).__name__,
                reason,
            )
            return self._function(*arguments)


def user_cache() -> Path:
    """Where this user's programs keep what they can make again (XDG base directories)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
