"""A golden set of SAM3-I derived from this code: other sizes, heads, scale and number of queries than the real one.

It shows that parity reads everything from the files, and that it notices a change; what is right, the real set shows.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.names import to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.parity.sam3i.forward import compute_tensors
from instructsam_training.parity.sam3i.golden_inputs import GoldenInputs
from instructsam_training.parity.sam3i.golden_network import SPARSE, golden_adapters, golden_config
from tests.support import ROOT
from tests.support.meta_layout import meta_shapes, random_tensors

REAL = ROOT / 'tests' / 'golden' / 'sam3i-data'
SIZES = {
    'd': 16, 'heads': 2, 'ff': 24, 'enc': 1, 'dec': 3, 'queries': 7, 'geo': 2,
    't_width': 24, 't_heads': 3, 't_layers': 3, 'adapter_dim': 5, 'adapter_heads': 2, 'adapter_scale': 0.7,
    'v_dim': 16, 'v_depth': 2, 'v_heads': 2, 'v_mlp': 2.0, 'v_win': 2, 'v_glob': [1], 'res': 56, 'pre': 28,
}  # fmt: skip
VOCABULARY = 49408
PATCH = 'backbone.vision_backbone.trunk.patch_embed.proj.weight'


def write_golden_set(folder: Path) -> Path:
    """Write network, inputs and the tensors of two text types."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('image_0.png', 'image_1.png', 'dataset.json'):
        shutil.copyfile(REAL / name, folder / name)
    (folder / 'config.json').write_text(json.dumps(SIZES))
    (folder / 'inputs.json').write_text(json.dumps(_five_queries()))
    save_file(_public_weights(), folder / 'weights.safetensors')
    inputs = GoldenInputs(folder)
    for level in (Level.SIMPLE, Level.COMPLEX):
        tensors = {name: tensor.clone().contiguous() for name, tensor in compute_tensors(inputs, level).items()}
        save_file(tensors, folder / f'forward_type{level.text_type}.safetensors')
    return folder


def _five_queries() -> dict[str, Any]:
    """Return the queries of the real set and one more about the first image."""
    content: dict[str, Any] = json.loads((REAL / 'inputs.json').read_text())
    content['order'].append(content['order'][0])
    content['img_ids'].append(0)
    for rows in content['token_ids'].values():
        rows.append(rows[-1])
    return content


def _public_weights() -> dict[str, Tensor]:
    sizes: dict[str, Any] = SIZES
    needed = {PATCH: torch.zeros(1, 3, 14, 14), SPARSE: torch.zeros(VOCABULARY, 1)}
    config = golden_config(sizes, needed)
    # Only the rows of the vocabulary that the queries use, as in the real set.
    tensors = random_tensors({name: shape for name, shape in meta_shapes(config).items() if name != SPARSE}, seed=1)
    ids = torch.tensor(sorted({each for rows in _five_queries()['token_ids'].values() for row in rows for each in row}))
    generator = torch.Generator().manual_seed(2)
    tensors |= {
        f'{SPARSE}.rows': torch.randn(len(ids), sizes['t_width'], generator=generator),
        f'{SPARSE}.row_ids': ids,
        f'{SPARSE}.shape': torch.tensor([VOCABULARY, sizes['t_width']]),
    }
    network = Sam3I(Sam3Detector(config), golden_adapters(sizes, {'simple_query_proj.0.weight': ids}))
    for name, parameter in network.adapters.named_parameters():
        noise = 0.3 * torch.randn(parameter.shape, generator=generator)
        tensors[to_public(name)] = (noise + ('norm' in name and name.endswith('weight'))).detach()
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
