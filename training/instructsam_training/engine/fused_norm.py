"""Qwen3-VL's RMSNorm as one operation of torch: on a GPU one kernel for eight, which keeps its input and no more."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm


class FusedRMSNorm(Qwen3VLTextRMSNorm):  # type: ignore[misc]  # transformers is untyped for us
    """The same function in float32, without rounding in between."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Normalize states [..., D]; float32."""
        return F.rms_norm(hidden_states.float(), self.weight.shape, self.weight.float(), self.variance_epsilon)


def fuse_norms(network: nn.Module) -> None:
    """Let all RMSNorms of a network be computed so; their parameters stay as they are."""
    for module in network.modules():
        if type(module) is Qwen3VLTextRMSNorm:
            module.__class__ = FusedRMSNorm
