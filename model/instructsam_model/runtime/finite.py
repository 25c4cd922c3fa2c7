"""Values that are not finite (NaN, infinity) become visible in numbers that the host reads anyway.

So that a GPU need not be waited for: one NaN in a network makes its masks empty and its scores compare as low, which
would otherwise be taken for "nothing found".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from instructsam_model.errors import NonFiniteError

INVALID = -1
"""In place of a token whose logits are not finite."""
ADVICE = (
    'the weights are damaged or do not fit their precision: load another checkpoint, or this one with dtype float32'
)


def most_probable(logits: Tensor) -> Tensor:
    """Return the index of the largest logit [N], `INVALID` if one of a row [N, vocabulary] is NaN or infinite."""
    largest, index = logits.max(-1)  # NaN if one of them is
    return torch.where(largest < math.inf, index, INVALID)


def mark_nonfinite(scores: Tensor, *outputs: Tensor) -> Tensor:
    """Return scores [..., K], NaN for each query that has an output [..., K, ...] that is not finite."""
    # Zero times a sum is NaN if one of its terms is NaN or infinite. In float32, because half precision overflows.
    sums = [
        output.float() if output.ndim == scores.ndim else output.flatten(scores.ndim).sum(-1, dtype=torch.float32)
        for output in outputs
    ]
    return scores.add(sum(sums[1:], sums[0]), alpha=0)


def name_nonfinite(outputs: Mapping[str, Tensor]) -> list[str]:
    """Return the names of outputs that are not finite; waits for the device."""
    return [name for name, output in outputs.items() if not torch.isfinite(output).all()]


def nonfinite_error(stage: str, outputs: Mapping[str, Tensor]) -> NonFiniteError:
    """Return the error of a stage, after it was found that one of its outputs is not finite."""
    names = ', '.join(name_nonfinite(outputs)) or 'outputs'
    return NonFiniteError(f'{stage}: {names} are not finite (NaN or infinity), so there is no result; {ADVICE}')
