"""Muon optimizer (Jordan et al., 2024): updates of weight matrices have nearly equal singular values.

From random weights, a small network needs several times fewer images with it than with AdamW (docs/experiments has the
figures). torch's own Muon always computes in bfloat16: on a CPU without bfloat16 instructions, such a step took longer
than the forward and backward passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5
"""Coefficients of x, x^3 and x^5 of five iterations that bring singular values near 1 without computing them."""
UPDATE_RMS = 0.2
"""Root mean square of an update at rate 1: about that of AdamW, so both share learning rates (Liu et al., 2025)."""


class MuonAdamW(torch.optim.AdamW):
    """Optimizer that applies Muon to the parameter groups with `matrices=True`, and AdamW to the others.

    Args:
        groups: as for any optimizer; those with `matrices=True` hold tensors of two dimensions.
        weight_decay: of both.
        fused: AdamW's part in a few kernels, on a GPU.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], weight_decay: float, *, fused: bool = False) -> None:
        super().__init__([{'matrices': False, **group} for group in groups], weight_decay=weight_decay, fused=fused)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; the gradients of matrices are set to None."""
        for group in self.param_groups:
            for matrix in group['params'] if group['matrices'] else ():
                if matrix.grad is not None:
                    self._step_matrix(matrix, group['lr'], group['weight_decay'])
                    matrix.grad = None  # AdamW skips it
        super().step(closure)

    def _step_matrix(self, matrix: nn.Parameter, rate: float, weight_decay: float) -> None:
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if not state:
            # AdamW expects a step count for every parameter when it loads a state.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(matrix))
        state['step'] += 1
        # Nesterov momentum.
        momentum = state['momentum'].lerp_(gradient, 1 - MOMENTUM)
        update = orthogonalize(gradient.lerp(momentum, MOMENTUM))
        # Decoupled weight decay, as in AdamW.
        matrix.mul_(1 - rate * weight_decay)
        # The root mean square of a matrix with singular values of 1 is 1 / sqrt(the longer side).
        matrix.add_(update, alpha=-rate * UPDATE_RMS * math.sqrt(max(matrix.shape)))


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return the matrix [rows, columns] with singular values between 0.6 and 1.2, except those near 0."""
    # The Gram matrix of the shorter side is the smaller one.
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    # The Frobenius norm is at least the largest singular value, so that none is above 1.
    wide = wide / wide.norm().clamp(min=1e-7)
    for a, b, c in NEWTON_SCHULZ:
        gram = wide @ wide.T  # [shorter, shorter]
        # a X + b (X X^T) X + c (X X^T)^2 X
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
