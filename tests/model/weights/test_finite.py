"""Tensors with values that are not finite are found, in every type of numbers."""

from __future__ import annotations

import math

import pytest
import torch

from instructsam_model import CheckpointError
from instructsam_model.weights.finite import check_finite, is_finite, nonfinite_names

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64, torch.float8_e4m3fn)


@pytest.mark.parametrize('dtype', FLOATS, ids=str)
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_one_value_among_many_is_found(dtype: torch.dtype, value: float) -> None:
    if dtype == torch.float8_e4m3fn:
        value = math.nan  # this type has no infinity
    tensor = torch.linspace(-60, 60, 1000).reshape(10, 100)
    assert is_finite(tensor.to(dtype))
    tensor[7, 31] = value
    assert not is_finite(tensor.to(dtype))


def test_integers_and_empty_tensors_are_finite() -> None:
    assert not nonfinite_names(
        {'ids': torch.arange(3), 'mask': torch.ones(2, dtype=torch.bool), 'none': torch.empty(0)}
    )


def test_overflow_of_a_conversion_is_found() -> None:
    tensor = torch.tensor([1.0, -1e5])
    assert is_finite(tensor, torch.bfloat16)
    assert not is_finite(tensor, torch.float16)
    assert is_finite(tensor, torch.int64)


def test_message_counts_the_tensors_and_names_the_first() -> None:
    tensors = {f'layer{index}': torch.full((2,), math.nan) for index in range(5)} | {'head': torch.ones(2)}
    with pytest.raises(CheckpointError) as raised:
        check_finite('state', tensors, 'what to do')
    assert str(raised.value) == (
        'state: 5 of 6 tensors have values that are not finite (NaN or infinity): layer0, layer1, layer2, ...; '
        'what to do'
    )
