"""A recorder of passes with the rules of CUDA graphs, for tests on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from instructsam_model.runtime.graphs import WARM_UP_RUNS, Pass, copy_inputs


class RecordedGraphs:
    """Replays recorded operations on any device, as CUDA graphs would.

    A replay reads and writes the tensors of the recorded operations, like a graph. It therefore shows if a pass depends
    on an address that has changed, on a value computed in Python, or on outputs that have been overwritten.
    """

    def capture(self, name: str, run: Pass, inputs: tuple[Tensor, ...]) -> Pass:
        """Record a pass.

        Raises:
            RuntimeError: the pass makes the host wait.
        """
        static = tuple(each.clone() for each in inputs)
        for _ in range(WARM_UP_RUNS):
            run(*static)
        with _Recorder(name) as recorder:
            outputs = run(*static)

        def replay(*given: Tensor) -> Any:
            copy_inputs(static, given)
            recorder.replay()
            return outputs

        return replay


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operation with its tensors."""

    def __init__(self, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name
        self._operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError(f'{self._name}: {function} makes the host wait, which a captured pass must not do')
        result = function(*args, **kwargs)
        self._operations.append((function, args, kwargs, result))
        return result

    def replay(self) -> None:
        """Run the operations again, each into the tensors that it returned when it was recorded."""
        for function, args, kwargs, result in self._operations:
            again = function(*args, **kwargs)
            for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                # Views and in-place operations return the memory of their inputs; only other results are copied.
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)
