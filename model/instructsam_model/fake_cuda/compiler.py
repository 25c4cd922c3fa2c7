"""`torch.compile` without a GPU: functions run eagerly, and inductor's kernels are computed from their graphs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from instructsam_model.fake_cuda.inductor_schedule import Kernel, schedule
from instructsam_model.fake_cuda.recorder import FakeCuda
from instructsam_model.fake_cuda.recording import Op, Recording

Function = Callable[..., Any]
Signature = tuple[Any, ...]
"""The kind of a function and the operations of a call with their dtypes and shapes."""


@dataclass(frozen=True)
class _Call:
    """A function of tensors only, and tensors to trace it with."""

    function: Function
    tensors: tuple[Tensor, ...]


class FakeCompiler:
    """Replaces `torch.compile` inside `FakeCuda`.

    A compiled function is recorded as its single operations; `compiled` then replaces them by inductor's kernels.
    Functions with equal operations and shapes are scheduled once.
    """

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self._regions = itertools.count(1)
        self._calls: dict[Signature, _Call] = {}
        self._signatures: dict[int, Signature] = {}
        self._kernels: dict[Signature, list[Kernel]] = {}

    def __call__(self, function: Function) -> Function:
        """Return the function with its operations marked as a region in the recording."""

        def run(*arguments: Any) -> Any:
            region = next(self._regions)
            with self._cuda.region(region) as ops:
                result = function(*arguments)
            # Layers of one kind share a schedule if their operations and shapes are equal.
            signature = (type(function).__name__, *((op.name, op.dtype, op.shape) for op in ops))
            self._signatures[region] = signature
            if signature not in self._calls:
                self._calls[signature] = self._remember(function, arguments)
            return result

        return run

    def compiled(self, recording: Recording) -> Recording:
        """Return the recording with inductor's kernels in place of compiled regions; call it outside `FakeCuda`."""
        ops: list[Op] = []
        # Consecutive operations of one region are replaced by the kernels of the region's schedule.
        for region, group in itertools.groupby(recording.ops, key=lambda op: op.region):
            if not region:
                ops += group
                continue
            first = next(group)
            for kernel in self.kernels(region):
                ops.append(
                    replace(
                        first,
                        name=f'inductor: {kernel.name}',
                        kind='kernel',
                        launches=1,
                        flops=kernel.flops,
                        bytes=kernel.bytes,
                        dtype=kernel.dtype,
                    )
                )
        return replace(recording, ops=ops)

    def kernels(self, region: int) -> list[Kernel]:
        """Return inductor's kernels for a region."""
        signature = self._signatures[region]
        if signature not in self._kernels:
            call = self._calls[signature]
            self._kernels[signature] = schedule(call.function, call.tensors)
        return self._kernels[signature]

    def _remember(self, function: Function, arguments: tuple[Any, ...]) -> _Call:
        """Copy a call with tensors that are not counted as memory."""
        flat, tree = tree_flatten(arguments)
        places = [place for place, each in enumerate(flat) if isinstance(each, Tensor)]
        tensors = tuple(self._cuda.uncounted_like(flat[place]) for place in places)
        constants = [None if isinstance(each, Tensor) else each for each in flat]

        # Arguments other than tensors are constants of the traced function.
        def of_tensors(*given: Tensor) -> Any:
            values = list(constants)
            for place, tensor in zip(places, given, strict=True):
                values[place] = tensor
            return function(*tree_unflatten(values, tree))

        return _Call(of_tensors, tensors)
