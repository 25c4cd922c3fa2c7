"""The network of golden data of SAM3-I, with sizes and weights read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Sam3Config

from instructsam_model.sam3.checkpoint import META_LAYER_NORM_EPS
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3i.config import Sam3IConfig
from instructsam_model.sam3i.names import PREFIXES, from_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.sam3i.public_weights import split_tensors
from instructsam_model.weights.hub import read_json

TEXT_PROJECTION = 'backbone.language_backbone.encoder.text_projection'
SPARSE = 'backbone.language_backbone.encoder.token_embedding.weight'
"""Stored as the rows of a table of zeros that are used."""


def load_golden_network(folder: Path) -> Sam3I:
    """Build the network of a folder of golden data, in float32 on the CPU and evaluation mode.

    Raises:
        CheckpointError: a name is neither SAM3's nor SAM3-I's.
    """
    sizes, tensors = read_json(folder / 'config.json'), read_golden_weights(folder)
    base, added = split_tensors(tensors)
    network = Sam3I(Sam3Detector(golden_config(sizes, tensors)), golden_adapters(sizes, added))
    _load(network.detector.model, base)
    _load(network.adapters, {from_public(name): tensor for name, tensor in added.items()})
    network.detector.requires_grad_(False)
    return network.eval()


def _load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors; those that the set lacks become NaN, so that a result that depends on one differs.

    Raises:
        RuntimeError: there are tensors that the module does not have, or of other shapes.
    """
    missing = {
        name: torch.full_like(tensor, torch.nan) for name, tensor in module.state_dict().items() if name not in tensors
    }
    module.load_state_dict({**tensors, **missing})


def read_golden_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights by their public names."""
    tensors = load_file(folder / 'weights.safetensors')
    shape = tensors.pop(f'{SPARSE}.shape', None)
    if shape is not None:
        table = torch.zeros(shape.tolist())
        table[tensors.pop(f'{SPARSE}.row_ids')] = tensors.pop(f'{SPARSE}.rows')
        tensors[SPARSE] = table
    return {name: tensor for name, tensor in tensors.items() if not name.endswith('.freqs_cis.real_imag')}


def golden_adapters(sizes: Mapping[str, Any], added: Mapping[str, Tensor]) -> Sam3IConfig:
    """Return the sizes of the adapters, `added` by their public names; dropout is off in the golden data."""
    return Sam3IConfig(
        adapter_dim=sizes['adapter_dim'],
        adapter_heads=sizes['adapter_heads'],
        adapter_scale=sizes['adapter_scale'],
        adapter_dropout=0.0,
        has_projector=any(name.startswith(PREFIXES['projector.']) for name in added),
    )


def golden_config(sizes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Sam3Config:
    """Return SAM3's configuration of the sizes in `config.json` of the golden data; dropout is off."""
    width, inner = sizes['d'], sizes['ff']
    patch = tensors['backbone.vision_backbone.trunk.patch_embed.proj.weight'].shape[-1]
    side = sizes['res'] // patch
    detr = {'hidden_size': width, 'num_attention_heads': sizes['heads'], 'intermediate_size': inner, 'dropout': 0.0}
    text_width = sizes['t_width']
    return Sam3Config(
        vision_config={
            'backbone_config': {
                'hidden_size': sizes['v_dim'],
                'intermediate_size': round(sizes['v_dim'] * sizes['v_mlp']),
                'num_hidden_layers': sizes['v_depth'],
                'num_attention_heads': sizes['v_heads'],
                'image_size': sizes['res'],
                'pretrain_image_size': sizes['pre'],
                'patch_size': patch,
                'window_size': sizes['v_win'],
                'global_attn_indexes': sizes['v_glob'],
                'layer_norm_eps': META_LAYER_NORM_EPS,
                'model_type': 'sam3_vit_model',
            },
            'fpn_hidden_size': width,
            'backbone_feature_sizes': [[side * 4] * 2, [side * 2] * 2, [side] * 2],
        },
        text_config={
            'hidden_size': text_width,
            'intermediate_size': 4 * text_width,
            'num_hidden_layers': sizes['t_layers'],
            'num_attention_heads': sizes['t_heads'],
            # Of the pooled output, which SAM3 does not use.
            'projection_dim': _columns(tensors, TEXT_PROJECTION, text_width),
            'vocab_size': len(tensors[SPARSE]),
            'max_position_embeddings': 32,
            'hidden_act': 'gelu',
        },
        geometry_encoder_config={**detr, 'num_layers': sizes['geo']},
        detr_encoder_config={**detr, 'num_layers': sizes['enc']},
        detr_decoder_config={**detr, 'num_layers': sizes['dec'], 'num_queries': sizes['queries']},
        mask_decoder_config={'hidden_size': width, 'num_attention_heads': sizes['heads'], 'dropout': 0.0},
    )


def _columns(tensors: Mapping[str, Tensor], name: str, otherwise: int) -> int:
    return tensors[name].shape[1] if name in tensors else otherwise
