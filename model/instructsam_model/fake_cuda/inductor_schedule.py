"""The kernels that `torch.compile` would generate for a function: inductor's schedule without code generation.

1. The function is traced on fake CUDA tensors with inductor's decompositions (`make_fx`), with functional writes and
   parameters as inputs, like in `torch.compile`; attention is the kernel that torch would choose on a GPU.
2. Inductor's graph passes, lowering and scheduler run.
3. Each entry of the schedule is one launch: a fused or single node is a Triton kernel, an external node (`addmm`,
   `convolution`, attention) a library kernel; nodes that only select an output of another one launch nothing.

The bytes of a kernel are those of the buffers that it reads and writes, as inductor counts them for its fusion
decisions; FLOPs are those of external kernels, by torch's formulas. Autotuning, which needs a GPU, is off, so matrix
products stay with cuBLAS. Triton is not used.
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
    """One kernel launch.

    Attributes:
        name: `fused` for an inductor kernel, otherwise the operation of the library.
        is_external: whether the kernel is from a library.
        flops: floating-point operations of an external kernel.
        bytes: bytes read and written.
        dtype: of the output.
    """

    name: str
    is_external: bool
    flops: float
    bytes: float
    dtype: str


def schedule(function: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Kernel]:
    """Return the kernels of a function in the order of inductor's schedule.

    Args:
        function: without gradients; its parameters must be fake CUDA tensors of the same mode as the inputs.
        inputs: fake CUDA tensors.
    """
    mode = next(each.fake_mode for each in inputs if isinstance(each, FakeTensor))
    with _device_properties(), torch.no_grad():
        graph_module, tensors = trace(function, inputs, mode)
        return _lower(graph_module, tensors, mode)


def trace(
    function: Callable[..., Any], inputs: Sequence[Tensor], mode: FakeTensorMode
) -> tuple[fx.GraphModule, list[Tensor]]:
    """Trace the function into inductor's operations; return the graph and its inputs, then parameters."""
    from torch._inductor.decomposition import select_decomp_table

    with mode, patch.object(F, 'scaled_dot_product_attention', attend):
        # Like `torch.compile`: no in-place operations except writes to the inputs at the end.
        functional = torch.func.functionalize(function, remove='mutations')
        module = make_fx(functional, decomposition_table=select_decomp_table(), tracing_mode='real')(*inputs)
    # Turn parameters, which are attributes of the module, into inputs.
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
    """Run inductor's graph passes, lowering and scheduler."""
    from torch._inductor import config
    from torch._inductor.compile_fx import _recursive_joint_graph_passes, _recursive_post_grad_passes
    from torch._inductor.debug import DebugContext
    from torch._inductor.fx_passes import joint_graph
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V

    with ExitStack() as stack:
        stack.enter_context(config.patch(max_autotune=False, fx_graph_cache=False))
        stack.enter_context(V.set_fake_mode(mode))
        # Initializing the attention patterns needs a GPU; attention is already replaced, so they would not match.
        with patch.object(joint_graph, 'lazy_init', lambda *_: None):
            _recursive_joint_graph_passes(module)
        _recursive_post_grad_passes(module, is_inference=True)
        graph = GraphLowering(module, example_inputs=tensors, shape_env=mode.shape_env, is_inference=True)
        stack.enter_context(V.set_debug_handler(DebugContext()))
        stack.enter_context(V.set_graph_handler(graph))
        stack.enter_context(V.set_extern_kernel_nodes([]))
        # Lower to inductor's operations and fuse them; code would be generated next.
        graph.run(*tensors)
        graph._update_scheduler()
        return [kernel for node in graph.scheduler.nodes for kernel in _kernels(node)]


def _kernels(node: Any) -> Iterator[Kernel]:
    """Yield the kernel of a scheduled node, if it launches one."""
    from torch._inductor import ir, scheduler

    # Buffers without a computation, and the selection of one of several outputs.
    if isinstance(node, scheduler.NopKernelSchedulerNode) or isinstance(node.node, ir.MultiOutput):
        return
    moved = float(node.get_read_write_buffers_sizes())
    if not isinstance(node, scheduler.ExternKernelSchedulerNode):
        yield Kernel('fused', False, 0.0, moved, _dtype(node))
        return
    target = _origin(node.node)
    yield Kernel(_name(target), True, _flops(target), moved, _dtype(node))


def _origin(external: Any) -> fx.Node | None:
    """Return the graph node that an external kernel computes."""
    origin: fx.Node | None = external.get_origin_node()
    overload = getattr(external, 'op_overload', None)
    # A kernel with several outputs has no single origin.
    return origin or next((each for each in external.get_origins() if each.target is overload), None)


def _name(target: fx.Node | None) -> str:
    if target is None:
        return 'external'
    packet = getattr(target.target, '_overloadpacket', target.target)
    return str(getattr(packet, '__name__', packet))


def _flops(target: fx.Node | None) -> float:
    """Count the FLOPs of the graph node that an external kernel computes."""
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
    """Make inductor see the properties of the fake GPU."""
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
        # torch caches whether Triton works; it may have been asked before, without a GPU.
        stack.enter_context(patch('torch._inductor.scheduler.has_triton', lambda *_: True))
        yield
