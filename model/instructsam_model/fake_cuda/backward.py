"""Backward passes without a GPU. torch's autograd engine needs a driver for its streams, so this module replaces it.

Nodes are called one by one, each when all gradients of its outputs have arrived, like the engine in one thread. Saved
tensors are freed when their node is done, so that memory is the same as with the engine. Hooks of tensors and nodes are
not called, except those of `register_post_accumulate_grad_hook`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

GRAPH_TASK_ID = 1
"""Id of the backward pass; activation checkpointing asks for it."""


class SavedTensor:
    """A tensor that a node saves for its backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor | None = tensor


@contextmanager
def backward_without_driver() -> Iterator[None]:
    """Make `backward` and `torch.autograd.grad` work without a driver."""
    used: list[SavedTensor] = []

    def unpack(each: SavedTensor) -> Tensor:
        if each.tensor is None:
            raise RuntimeError('backward: the saved tensors have been freed; use retain_graph=True the first time')
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
        returned = () if accumulate_grad else inputs
        return run_backward(outputs, grads, returned, create_graph, None if keep_graph else used)

    # Saved tensors are wrapped, so that `run_backward` can free them; `run` replaces the engine of torch.
    with ExitStack() as stack:
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(SavedTensor, unpack))
        stack.enter_context(patch.object(torch.autograd, '_engine_run_backward', run))
        stack.enter_context(patch.object(torch._C, '_current_graph_task_id', lambda: GRAPH_TASK_ID))
        yield


def run_backward(
    outputs: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    create_graph: bool,
    used: list[SavedTensor] | None,
) -> tuple[Tensor | None, ...]:
    """Run a backward pass.

    Args:
        outputs: where the pass starts.
        grads: gradients of the outputs.
        inputs: tensors whose gradients are returned; empty to accumulate gradients in the leaves instead.
        create_graph: record the pass itself for higher derivatives.
        used: filled with the saved tensors that nodes have read, which are then freed; None to keep them.
    """
    # 1. Gradients that arrive first, and how many each node still waits for.
    edges = [_edge(output) for output in outputs]
    targets = [_edge(each) for each in inputs]
    waiting = _count_uses([node for node, _ in edges])
    arrived: defaultdict[Any, dict[int, Tensor]] = defaultdict(dict)
    for (node, number), grad in zip(edges, grads, strict=True):
        _add(node, arrived[node], number, grad)
    # 2. Call nodes whose gradients are complete, in topological order.
    found: dict[tuple[Any, int], Tensor | None] = {}
    ready = [node for node in dict.fromkeys(node for node, _ in edges) if not waiting[node]]
    with torch.set_grad_enabled(create_graph):
        while ready:
            node = ready.pop()
            grads_of = arrived.pop(node, {})
            given = [grads_of.get(number) for number in range(len(node._input_metadata))]
            found.update({target: given[target[1]] for target in targets if target[0] is node})
            accumulates = not node.next_functions
            results = () if accumulates and inputs else _call(node, given)
            if used is not None:  # without retain_graph, free what this node has read
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
    """Return the node that receives a tensor's gradient, and the index of the input."""
    node = tensor.grad_fn
    if node is None:
        return torch.autograd.graph.get_gradient_edge(tensor).node, 0
    return node, int(tensor.output_nr)


def _count_uses(roots: Sequence[Any]) -> defaultdict[Any, int]:
    """Count the gradients that each node will receive."""
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
    """Add a gradient to those of a node, in the shape and dtype of the node's output."""
    if grad is None:
        return
    result = node._input_metadata[number]
    if grad.shape != result.shape:
        # The node has broadcast this input.
        grad = grad.sum_to_size(result.shape)
    if grad.dtype != result.dtype:
        grad = grad.to(result.dtype)
    grads[number] = grads[number] + grad if number in grads else grad


def _call(node: Any, given: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Call a node; return the gradients of its inputs."""
    # Without any gradient nothing is computed, and no gradient is passed on.
    if not any(grad is not None for grad in given):
        return (None,) * len(node.next_functions)
    # Nodes of an `autograd.Function` are called through `apply`, those of torch directly.
    python = isinstance(node, torch.autograd.function.BackwardCFunction)
    results = node.apply(*given) if python else node(*given)
    return results if isinstance(results, tuple) else (results,)
