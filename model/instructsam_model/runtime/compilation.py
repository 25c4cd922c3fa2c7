"""Compilation of layers with `torch.compile`, and its cache on disk."""

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
"""Returns a compiled version of a function, or the function itself."""
RECOMPILE_LIMIT = 64
"""Per kind of layer: some text lengths times some image sizes, each with and without prefill."""


def run_eagerly(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function unchanged."""
    return function


class InductorCompiler:
    """Compiles layers with `torch.compile`: once per kind of layer and per shape.

    Compiled code is cached on disk for later processes: in `TORCHINDUCTOR_CACHE_DIR`, by default
    `instructsam/inductor` in the user's cache folder.

    Args:
        backend: of `torch.compile`.
    """

    def __init__(self, backend: str = 'inductor') -> None:
        self._backend = backend
        os.environ.setdefault(CACHE_VARIABLE, str(user_cache() / 'instructsam' / 'inductor'))
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT)

    def __call__(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return a function that is compiled when it is first called."""
        return _CompiledFunction(function, self._backend)


class _CompiledFunction:
    """A compiled function; runs uncompiled after compilation has failed once for its kind."""

    _failed: set[str] = set()  # noqa: RUF012  # kinds of layers that cannot be compiled on this machine; shared

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
            # Without a C++ compiler, or on a GPU that Triton does not support, inference still works, only slower.
            self._failed.add(self._kind)
            reason = str(error).strip().splitlines()[0]
            logger.warning(
                'engine: %s cannot be compiled on this machine and runs uncompiled (%s: %s)',
                self._kind,
                type(error).__name__,
                reason,
            )
            return self._function(*arguments)


def user_cache() -> Path:
    """Return the user's cache folder (XDG base directory specification)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
