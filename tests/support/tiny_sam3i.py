"""A SAM3-I of a few thousand parameters with random weights, which give every level another answer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instructsam_model import load_segmenter
from instructsam_model.sam3.checkpoint import META_LAYER_NORM_EPS, read_config, read_detector
from instructsam_model.sam3.files import TOKENIZER_FILES, find_files
from instructsam_model.sam3.segmenter import Sam3Segmenter
from instructsam_model.sam3i.checkpoint import reference_to, write_delta
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.names import to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.hub import resolve_source
from tests.support.tiny_sam3 import write_tiny_meta, write_tiny_sam3

TINY = Sam3IConfig(adapter_dim=8, adapter_heads=2, adapter_scale=0.5, has_projector=True)

PUBLIC_OPTIONS = {'adapter_heads': 2, 'adapter_scale': 0.5}
"""Options that load it from a checkpoint of the public layout, which does not hold them."""


def make_tiny_sam3i(base: Path, config: Sam3IConfig = TINY, *, seed: int = 0) -> Sam3I:
    """Build the network on a tiny SAM3 (see `tiny_sam3`); all adapters change the states of their layer."""
    files = find_files(resolve_source(base))
    detector = read_detector(
        files, read_config(files, META_LAYER_NORM_EPS), device=torch.device('cpu'), dtype=torch.float32
    )
    network = Sam3I(detector, config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.adapters.named_parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise + ('norm' in name and name.endswith('weight')))
    return network


def write_tiny_sam3i(folder: Path, *, has_base: bool = False, seed: int = 0) -> Path:
    """Write a checkpoint of our layout in `folder`, its SAM3 inside it or in `<folder>_base`; return `folder`."""
    base = write_tiny_sam3(folder.with_name(f'{folder.name}_base'))
    network = make_tiny_sam3i(base, seed=seed)
    write_delta(folder, network, reference_to(base), stage='3', base_folder=base if has_base else None)
    return folder


def write_tiny_public(folder: Path, *, seed: int = 0, name: str = 'checkpoint.pt') -> Path:
    """Write a checkpoint of the public layout, with tokenizer and the tiny configuration beside it; return the file."""
    base = write_tiny_meta(folder.with_name(f'{folder.name}_base'))
    network = make_tiny_sam3i(base, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    for each in ('config.json', 'preprocessor_config.json', *(file for files in TOKENIZER_FILES for file in files)):
        if (base / each).is_file():
            shutil.copy(base / each, folder)
    tensors = torch.load(base / 'sam3.pt', weights_only=True)
    own = {each.removeprefix('detector.'): tensor for each, tensor in tensors.items() if each.startswith('detector.')}
    torch.save({'model': own | public_tensors(network), 'inst_stage': '3', 'epoch': 4}, folder / name)
    return folder / name


def public_tensors(network: Sam3I) -> dict[str, Tensor]:
    """Return the tensors that SAM3-I adds, as the public code stores them: the projector thrice, an unused encoder."""
    added = {to_public(name): tensor for name, tensor in network.adapters.state_dict().items()}
    projector = {name: tensor for name, tensor in added.items() if name.startswith('simple_query_proj.')}
    for other in ('complex_query_proj.', 'concept_proj.'):
        added |= {other + name.partition('.')[2]: tensor for name, tensor in projector.items()}
    return added | {'backbone.text.encoder.ln_final.weight': torch.ones(3)}


def load_tiny_sam3i(checkpoint: Path, *, device: str = 'cpu', dtype: str = 'float32', **options: Any) -> Sam3Segmenter:
    """Load one of these checkpoints; a public one needs `adapter_heads` and `adapter_scale` of `TINY`."""
    segmenter = load_segmenter(checkpoint, 'sam3i', device, dtype, **options)
    assert isinstance(segmenter, Sam3Segmenter)
    return segmenter
