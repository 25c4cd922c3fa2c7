"""The kernels that `torch.compile` would make of a function: inductor's own schedule, without its code generation.

How it is counted. The function is traced on fake CUDA tensors with inductor's decompositions (`make_fx`), its writes
made functional and its parameters made inputs, as `torch.compile` does; attention is what torch would choose on a GPU.
Inductor's passes over the graph run, the graph is lowered, and inductor's scheduler fuses it. What is in the schedule
then is what would be launched: a fused or single node is one Triton kernel, an external one (`addmm`, `convolution`,
attention) one library kernel, and nodes that only name a part of another's result none. The bytes of a kernel are those
of the buffers that it reads and writes, as inductor counts them to decide what to fuse; FLOPs are those of the external
kernels, by torch's formulas. Autotuning, which needs a GPU, is off: products of matrices stay with cuBLAS. No code is
generated, and Triton is not asked for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry

from instructsam_model.fake_cuda.attention import attend
from instructsam_model.fake_cuda.device import CAPABILITY, Properties


@dataclass(frozen=True)
class Kernel:
    """One launch.

    Attributes:
        name: `fused` for one of inductor's, or the library's operation.
        is_external: from a library.
        flops: floating-point operations of an external kernel.
        bytes: read and written.
        dtype: of its result.
    """

    name: str
    is_external: bool
    flops: float
    bytes: float
    dtype: str


def schedule(function: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Kernel]:
    """The kernels of a function of CUDA tensors, fake ones, in the order of inductor's schedule.

    Args:
        function: without gradients; may use parameters that are fake CUDA tensors of the same mode.
        inputs: fake CUDA tensors.
    """
    mode = next(each.fake_mode for each in inputs if isinstance(each, FakeTensor))
    with _device_properties(), torch.no_grad():
        graph_module, tensors = trace(function, inputs, mode)
        return _lower(graph_module, tensors, mode)


def trace(
    function: Callable[..., Any], inputs: Sequence[Tensor], mode: FakeTensorMode
) -> tuple[fx.GraphModule, list[Tensor]]:
    """The function's graph of inductor's operations, and the tensors that it takes: its inputs, then its parameters."""
    from torch._inductor.decomposition import select_decomp_table

    with mode, patch.object(F, 'scaled_dot_product_attention', attend):
        # As `torch.compile` has it: nothing is written to but the inputs, at the end.
        functional = torch.func.functionalize(function, remove='mutations')
        module = make_fx(functional, decomposition_table=select_decomp_table(), tracing_mode='real')(*inputs)
    tensors = list(inputs)
    last = [node for node in module.graph.nodes if node.op == 'placeholder'][-1]
    for node in [node for node in module.graph.nodes if node.op == 'get_attr']:
        tensors.append(value := _attribute(module, node.target))
        with module.graph.inserting_after(last):
            last = module.graph.placeholder(node.name)
        last.meta = {**node.meta, 'val': value}
        node.replace_all_uses_with(last)
        module.graph.erase_node(node)
    module.recompile()
    return module, tensors


def _attribute(module: fx.GraphModule, path: str) -> Tensor:
    value: Any = module
    for name in path.split('.'):
        value = getattr(value, name)
    tensor: Tensor = value.detach()
    return tensor


def _lower(module: fx.GraphModule, tensors: list[Tensor], mode: FakeTensorMode) -> list[Kernel]:
    """Inductor's passes, its lowering, its scheduler."""
    from torch._inductor import config
    from torch._inductor.compile_fx import _recursive_joint_graph_passes, _recursive_post_grad_passes
    from torch._inductor.debug import DebugContext
    from torch._inductor.fx_passes import joint_graph
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V

    with ExitStack() as stack:
        stack.enter_context(config.patch(max_autotune=False, fx_graph_cache=False))
        stack.enter_context(V.set_fake_mode(mode))
        # Its patterns of attention are made of tensors on a GPU; there is nothing left for them to match.
        with patch.object(joint_graph, 'lazy_init', lambda *_: None):
            _recursive_joint_graph_passes(module)
        _recursive_post_grad_passes(module, is_inference=True)
        graph = GraphLowering(module, example_inputs=tensors, shape_env=mode.shape_env, is_inference=True)
        stack.enter_context(V.set_debug_handler(DebugContext()))
        stack.enter_context(V.set_graph_handler(graph))
        stack.enter_context(V.set_extern_kernel_nodes([]))
        graph.run(*tensors)
        graph._update_scheduler()
        return [kernel for node in graph.scheduler.nodes for kernel in _kernels(node)]


def _kernels(node: Any) -> Iterator[Kernel]:
    from torch._inductor import ir, scheduler

    if isinstance(node, scheduler.NopKernelSchedulerNode) or isinstance(node.node, ir.MultiOutput):
        return
    moved = float(node.get_read_write_buffers_sizes())
    if not isinstance(node, scheduler.ExternKernelSchedulerNode):
        yield Kernel('fused', False, 0.0, moved, _dtype(node))
        return
    target = _origin(node.node)
    yield Kernel(_name(target), True, _flops(target), moved, _dtype(node))


def _origin(external: Any) -> fx.Node | None:
    """The graph's node that an external kernel is for."""
    origin: fx.Node | None = external.get_origin_node()
    overload = getattr(external, 'op_overload', None)
    return origin or next((each for each in external.get_origins() if each.target is overload), None)


def _name(target: fx.Node | None) -> str:
    if target is None:
        return 'external'
    packet = getattr(target.target, '_overloadpacket', target.target)
    return str(getattr(packet, '__name__', packet))


def _flops(target: fx.Node | None) -> float:
    """Of an external kernel, from the graph's node that it is for."""
    formula = None if target is None else flop_registry.get(getattr(target.target, '_overloadpacket', None))
    if target is None or formula is None:
        return 0.0
    args, kwargs = tree_map(
        lambda each: each.meta['val'] if isinstance(each, fx.Node) else each, (target.args, target.kwargs)
    )
    options = {name: value for name, value in kwargs.items() if name != 'scale'}
    return float(formula(*args, **options, out_val=target.meta['val']))


def _dtype(node: Any) -> str:
    outputs = node.get_outputs()
    dtype = outputs[0].node.maybe_get_dtype() if outputs else None
    return str(dtype or '').removeprefix('torch.')


@contextmanager
def _device_properties() -> Iterator[None]:
    """Let inductor ask for a GPU's properties."""
    from torch._dynamo.device_interface import CudaInterface

    answers: dict[str, Any] = {
        'is_available': lambda: True,
        'get_device_properties': lambda *_: Properties(),
        'get_compute_capability': lambda *_: 10 * CAPABILITY[0] + CAPABILITY[1],
        'current_device': lambda: 0,
        'device_count': lambda: 1,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(CudaInterface, name, staticmethod(answer)))
        stack.enter_context(
            patch.object(CudaInterface.Worker, 'get_device_properties', staticmethod(lambda *_: Properties()))
        )
        for name, value in (('is_available', lambda: True), ('get_device_properties', lambda *_: Properties())):
            stack.enter_context(patch.object(torch.cuda, name, value))
        stack.enter_context(patch.object(torch.cuda, 'get_device_capability', lambda *_: CAPABILITY))
        # Whoever asked before, without a GPU, was told that Triton does not work, and torch remembers that.
        stack.enter_context(patch('torch._inductor.scheduler.has_triton', lambda *_: True))
        yield
