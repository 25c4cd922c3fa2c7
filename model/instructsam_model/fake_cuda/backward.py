"""Backward passes without a GPU: torch's own engine asks the driver for its streams, so nodes are called from here.

Nodes are called one after the other, each when all gradients of its results are there, as the engine does it in one
thread. Saved tensors are let go of as soon as their node is done, so that the memory that is alive is that of the
engine. Hooks of tensors and of nodes are not called, but for those of `register_post_accumulate_grad_hook`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

TASK = 1
"""Number of a backward pass, for those who ask which it is: checkpointing does."""


class Saved:
    """A tensor that a node keeps for its backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor


@contextmanager
def backward_without_driver() -> Iterator[None]:
    """Let `backward` and `torch.autograd.grad` run without a driver."""
    used: list[Saved] = []

    def unpack(each: Saved) -> Tensor:
        if each.tensor is None:
            raise RuntimeError('backward: the saved tensors have been let go of; expected retain_graph=True before')
        used.append(each)
        return each.tensor

    def run(
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        keep_graph: bool,
        create_graph: bool,
        inputs: Sequence[Tensor],
        *_: Any,
        accumulate_grad: bool,
        **__: Any,
    ) -> tuple[Tensor | None, ...]:
        wanted = () if accumulate_grad else inputs
        return run_backward(outputs, grads, wanted, create_graph, None if keep_graph else used)

    with ExitStack() as stack:
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(Saved, unpack))
        stack.enter_context(patch.object(torch.autograd, '_engine_run_backward', run))
        stack.enter_context(patch.object(torch._C, '_current_graph_task_id', lambda: TASK))
        yield


def run_backward(
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    wanted: Sequence[Tensor],
    create_graph: bool,
    used: list[Saved] | None,
) -> tuple[Tensor | None, ...]:
    """Call the nodes behind `outputs`; leaves accumulate unless gradients are wanted.

    Args:
        outputs: where to begin.
        grads: of each output; None where it is None.
        wanted: tensors whose gradients are returned instead.
        create_graph: record the pass itself.
        used: saved tensors that nodes have asked for, to let go of; None to keep them.
    """
    edges = [_edge(output) for output in outputs]
    targets = [_edge(each) for each in wanted]
    waiting = _count_uses([node for node, _ in edges])
    arrived: defaultdict[Any, dict[int, Tensor]] = defaultdict(dict)
    for (node, number), grad in zip(edges, grads, strict=True):
        _add(node, arrived[node], number, grad)
    found: dict[tuple[Any, int], Tensor | None] = {}
    ready = [node for node in dict.fromkeys(node for node, _ in edges) if not waiting[node]]
    with torch.set_grad_enabled(create_graph):
        while ready:
            node = ready.pop()
            grads_of = arrived.pop(node, {})
            given = [grads_of.get(number) for number in range(len(node._input_metadata))]
            found.update({target: given[target[1]] for target in targets if target[0] is node})
            accumulates = not node.next_functions
            results = () if accumulates and wanted else _call(node, given)
            if used is not None:
                for saved in used:
                    saved.tensor = None
                used.clear()
            for (following, number), grad in zip(node.next_functions, results, strict=bool(results)):
                if following is None:
                    continue
                _add(following, arrived[following], number, grad)
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)
    return tuple(found.get(target) for target in targets)


def _edge(tensor: Tensor) -> tuple[Any, int]:
    """The node that a gradient of a tensor goes to, and the number of its input."""
    node = tensor.grad_fn
    if node is None:
        return torch.autograd.graph.get_gradient_edge(tensor).node, 0
    return node, int(tensor.output_nr)


def _count_uses(roots: Sequence[Any]) -> defaultdict[Any, int]:
    """How many gradients each node waits for."""
    uses: defaultdict[Any, int] = defaultdict(int)
    seen, stack = set(roots), list(dict.fromkeys(roots))
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is None:
                continue
            uses[following] += 1
            if following not in seen:
                seen.add(following)
                stack.append(following)
    return uses


def _add(node: Any, grads: dict[int, Tensor], number: int, grad: Tensor | None) -> None:
    """Add a gradient to those of a node, in the shape and type of the result that it is of."""
    if grad is None:
        return
    result = node._input_metadata[number]
    if grad.shape != result.shape:
        grad = grad.sum_to_size(result.shape)
    if grad.dtype != result.dtype:
        grad = grad.to(result.dtype)
    grads[number] = grads[number] + grad if number in grads else grad


def _call(node: Any, given: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Gradients of what a node was given."""
    if not any(grad is not None for grad in given):
        return (None,) * len(node.next_functions)
    python = isinstance(node, torch.autograd.function.BackwardCFunction)
    results = node.apply(*given) if python else node(*given)
    return results if isinstance(results, tuple) else (results,)
