"""Values that are not finite are visible in what the host reads."""

from __future__ import annotations

import math

import pytest
import torch

from instructsam_model.errors import InferenceError, NonFiniteError
from instructsam_model.runtime.finite import INVALID, mark_nonfinite, most_probable, nonfinite_error

BAD = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_token_of_bad_logits_is_invalid(value: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[1, 3, 3], [0, 5, 1], [2, -math.inf, 0]], dtype=dtype)
    assert most_probable(logits).tolist() == logits.argmax(-1).tolist()
    logits[1, 0] = value
    assert most_probable(logits).tolist() == [1, INVALID, 0]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('value', BAD)
def test_score_of_a_bad_output_is_nan(value: float, dtype: torch.dtype) -> None:
    scores, masks, boxes = (
        torch.tensor([[0.1, 0.9, 0.5]]),
        torch.full((1, 3, 60, 60), 50.0, dtype=dtype),
        torch.ones(1, 3, 4),
    )
    # Half precision would overflow in the sum of these finite masks.
    assert torch.equal(mark_nonfinite(scores, scores, boxes, masks), scores)
    for output in (masks[0, 1, 7], boxes[0, 1]):
        before, output[3] = output[3].clone(), value
        assert mark_nonfinite(scores, scores, boxes, masks).isnan().tolist() == [[False, True, False]]
        output[3] = before
    assert mark_nonfinite(scores, torch.tensor([[0.0, 0.0, value]]), boxes).isnan().tolist() == [[False, False, True]]


def test_error_names_the_stage_and_its_bad_outputs() -> None:
    error = nonfinite_error('SAM3', {'scores': torch.ones(2), 'masks': torch.tensor([1.0, math.inf])})
    assert isinstance(error, NonFiniteError)
    assert isinstance(error, InferenceError)
    assert str(error).startswith('SAM3: masks are not finite (NaN or infinity), so there is no result; the weights')
