"""The fused RMSNorm is the same function with the same gradient."""

from __future__ import annotations

import torch
from torch import nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm

from instructsam_training.engine.fused_norm import FusedRMSNorm, fuse_norms


def test_fused_norm_equals_that_of_transformers_with_its_gradients() -> None:
    norms = [Qwen3VLTextRMSNorm(16) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    gains, states = torch.rand(16, generator=generator), 3 * torch.randn(2, 5, 16, generator=generator)
    fuse_norms(nn.ModuleList(norms[:1]))
    assert [type(norm) for norm in norms] == [FusedRMSNorm, Qwen3VLTextRMSNorm]
    results = []
    for norm in norms:
        norm.weight.data.copy_(gains)
        given = states.clone().requires_grad_()
        normed = norm(given)
        (normed * torch.arange(16)).sum().backward()
        results.append((normed.detach(), given.grad, norm.weight.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
