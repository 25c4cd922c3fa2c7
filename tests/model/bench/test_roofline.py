"""Counting of arithmetic."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from instructsam_model.bench.roofline import count_arithmetic


def test_attention_on_a_cpu_is_counted() -> None:
    heads, tokens, width = 3, 40, 16
    states = torch.randn(1, heads, tokens, width, requires_grad=True)
    forward = 4 * heads * tokens**2 * width  # two products of matrices, a multiplication and an addition each
    with count_arithmetic() as counter:
        attended = F.scaled_dot_product_attention(states, states, states)
        assert counter.get_total_flops() == forward
        attended.sum().backward()
    assert counter.get_total_flops() == forward + 5 * forward // 2
