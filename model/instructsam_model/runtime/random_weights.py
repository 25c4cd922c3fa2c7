"""Random weights, to measure speed and memory of a network of any size."""

from __future__ import annotations

import torch
from torch import nn


def fill_randomly(module: nn.Module, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
    """Initialize the parameters, also those on the meta device: matrices from N(0, 0.02), gains 1, biases 0."""
    generator = torch.Generator(device=device).manual_seed(seed)
    tensors = {}
    for name, parameter in module.state_dict().items():
        tensor = torch.zeros(parameter.shape, device=device, dtype=dtype)
        if parameter.ndim >= 2:
            tensor.normal_(0, 0.02, generator=generator)
        elif name.endswith('weight'):
            tensor.fill_(1)
        tensors[name] = tensor
    module.load_state_dict(tensors, strict=True, assign=True)
