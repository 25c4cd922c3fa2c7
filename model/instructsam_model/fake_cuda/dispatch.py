"""Dispatch mode of `FakeCuda`: computes CPU operations, and fakes and records CUDA operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from instructsam_model.fake_cuda.call_site import find_call_site
from instructsam_model.fake_cuda.cost import count_bytes, count_flops, count_launches
from instructsam_model.fake_cuda.indexing import BY_INDEX, as_integers, is_masked_fill, masked_fill
from instructsam_model.fake_cuda.known import real_tensors
from instructsam_model.fake_cuda.mixed import check_devices
from instructsam_model.fake_cuda.transfers import copy_between, is_transfer

if TYPE_CHECKING:
    from instructsam_model.fake_cuda.recorder import FakeCuda

aten = torch.ops.aten

SHAPED_BY_DATA = {
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.masked_select,
    aten.nonzero,
    aten.unique_consecutive,
    aten.unique_dim,
}
"""Operations whose output shapes depend on values: the host waits for the device to learn them."""
ONE_KERNEL = {aten._fused_rms_norm}
"""Operations with their own CUDA kernel although torch can decompose them."""


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs above a `FakeTensorMode`, which computes the shapes of outputs."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func.namespace in ('prim', 'profiler'):
            return func(*args, **kwargs)
        packet = func._overloadpacket
        flat = tree_flatten((args, kwargs))[0]
        # Factory functions have no tensors, but name the device.
        if not any(isinstance(each, FakeTensor) or _names_cuda(each) for each in flat):
            return self._on_cpu(func, args, kwargs)
        if packet is aten.dropout and not (args[2] and args[1]):
            return args[0]  # like torch; the decomposition would copy
        # Decompose composite operations, so that the operations counted are those that launch kernels.
        if func._can_decompose() and packet not in ONE_KERNEL:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        return self._on_cuda(func, args, kwargs, [each for each in flat if isinstance(each, Tensor)])

    def _on_cpu(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute an operation on CPU tensors."""
        # Pinning needs a driver, so pinned memory is ordinary memory that is marked.
        pinned = kwargs.pop('pin_memory', False)
        with _disable_current_modes():
            out = func(*args, **kwargs)
        if pinned:
            self._cuda.pinned.mark(out)
        # Views take no time on the host.
        if count_launches(func, args, out):
            self._cuda.note('cpu', _name(func))
        return out

    def _on_cuda(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        """Fake an operation with a CUDA tensor, and record it."""
        packet = func._overloadpacket
        # 1. Operations with which values reach the host, or come from it.
        if packet is aten._local_scalar_dense:
            self._cuda.note('wait', 'item', launches=1)
            with real_tensors():
                return self._cuda.read(args[0]).item()
        if is_transfer(func, args, kwargs):
            return copy_between(self._cuda, func, args, kwargs)
        # 2. Indexing, and other operations whose output shape depends on values.
        if packet in BY_INDEX:
            with self:
                if is_masked_fill(func, args):
                    return masked_fill(*args[:3])
                args = (args[0], as_integers(args[0], args[1]), *args[2:])
        if packet in SHAPED_BY_DATA or (packet is aten.repeat_interleave and kwargs.get('output_size') is None):
            return self._shaped_by_data(func, args, kwargs)
        # 3. All others: compute shapes, propagate known values, record.
        check_devices(func, tensors)
        try:
            out = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise NotImplementedError(
                f'{_name(func)} at {find_call_site()}: the output shape depends on values, which is allowed for '
                f'known operations only; add {_name(func)} to SHAPED_BY_DATA in {__name__}'
            ) from error
        self._cuda.values.propagate(func, args, kwargs, out)
        self._note(func, args, kwargs, out)
        return out

    def _shaped_by_data(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute an operation with known values, or with those of `FakeCuda(unknown=...)`; the host waits."""
        cuda = self._cuda
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, FakeTensor)]
        known = all(cuda.values.get(each) is not None for each in tensors)
        cuda.note('wait', _name(func), launches=2)
        arguments, options = tree_map(
            lambda each: cuda.read(each) if isinstance(each, Tensor) else each, (args, kwargs)
        )
        with real_tensors():
            out = func(*arguments, **options)
        return tree_map(lambda each: cuda.wrap(each, known=known) if isinstance(each, Tensor) else each, out)

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        cuda = self._cuda
        results = [each for each in tree_flatten(out)[0] if isinstance(each, Tensor)]
        for each in results:
            cuda.memory.track(each, capturing=cuda.is_capturing)
        cuda.note_memory()
        launches = count_launches(func, args, out)
        more: dict[str, Any] = {}
        if results:
            more = {'dtype': str(results[0].dtype).removeprefix('torch.'), 'shape': tuple(results[0].shape)}
        if not launches:
            cuda.note('view', _name(func), **more)
            return
        flops, moved = count_flops(func, args, kwargs, out), count_bytes(func, args, kwargs, out)
        cuda.note('kernel', _name(func), launches=launches, flops=flops, bytes=moved, **more)


def _name(func: Any) -> str:
    return str(func._overloadpacket.__name__)


def _names_cuda(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == 'cuda'
