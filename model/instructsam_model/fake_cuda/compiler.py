"""`torch.compile` without a GPU: functions run as they are; which kernels inductor would make of them is known."""

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
"""Of a call: what kind of function, and the operations that it ran, with their shapes."""


@dataclass(frozen=True)
class _Call:
    """A function of tensors alone, and tensors to trace it with."""

    function: Function
    tensors: tuple[Tensor, ...]


class FakeCompiler:
    """In place of `torch.compile`, inside `FakeCuda`.

    What a compiled function launches is recorded as the single operations that it consists of; `compiled` then puts
    inductor's kernels in their place. Functions whose operations and shapes are equal are scheduled once.
    """

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self._regions = itertools.count(1)
        self._calls: dict[Signature, _Call] = {}
        self._signatures: dict[int, Signature] = {}
        self._kernels: dict[Signature, list[Kernel]] = {}

    def __call__(self, function: Function) -> Function:
        """The function, whose operations are marked."""

        def run(*arguments: Any) -> Any:
            region = next(self._regions)
            with self._cuda.region(region) as ops:
                result = function(*arguments)
            signature = (type(function).__name__, *((op.name, op.dtype, op.shape) for op in ops))
            self._signatures[region] = signature
            if signature not in self._calls:
                self._calls[signature] = self._remember(function, arguments)
            return result

        return run

    def compiled(self, recording: Recording) -> Recording:
        """The recording with inductor's kernels for what was to be compiled. Outside `FakeCuda`, for it traces."""
        ops: list[Op] = []
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
        """Inductor's for a call."""
        signature = self._signatures[region]
        if signature not in self._kernels:
            call = self._calls[signature]
            self._kernels[signature] = schedule(call.function, call.tensors)
        return self._kernels[signature]

    def _remember(self, function: Function, arguments: tuple[Any, ...]) -> _Call:
        """A call with tensors that nobody else holds, so that the memory that is alive stays what it is."""
        flat, tree = tree_flatten(arguments)
        places = [place for place, each in enumerate(flat) if isinstance(each, Tensor)]
        tensors = tuple(self._cuda.stand_in_for(flat[place]) for place in places)
        constants = [None if isinstance(each, Tensor) else each for each in flat]

        def of_tensors(*given: Tensor) -> Any:
            values = list(constants)
            for place, tensor in zip(places, given, strict=True):
                values[place] = tensor
            return function(*tree_unflatten(values, tree))

        return _Call(of_tensors, tensors)
