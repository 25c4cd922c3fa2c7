"""A SAM3-I of a few thousand parameters with random weights, which give every level another answer."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from instructsam_model.sam3.checkpoint import read_detector
from instructsam_model.sam3.files import find_files
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.names import to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.hub import resolve_source

TINY = Sam3IConfig(adapter_dim=8, adapter_heads=2, adapter_scale=0.5, has_projector=True)


def make_tiny_sam3i(base: Path, config: Sam3IConfig = TINY, *, seed: int = 0) -> Sam3I:
    """Build the network on a tiny SAM3 (see `tiny_sam3`); all adapters change the states of their layer."""
    detector = read_detector(find_files(resolve_source(base)), device=torch.device('cpu'), dtype=torch.float32)
    network = Sam3I(detector, config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.adapters.named_parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise + ('norm' in name and name.endswith('weight')))
    return network


def added_tensors(network: Sam3I) -> dict[str, Tensor]:
    """Return the tensors that SAM3-I adds, by their public names."""
    return {to_public(name): tensor for name, tensor in network.adapters.state_dict().items()}
