"""Initial values of SAM3-I's adapters, of which none changes an answer of SAM3.

`corrected`, the default, starts each adapter with small random weights in front and zeros behind, so that everything
learns. `released` is the public code: both projections and the attention of a text adapter start with zeros, so that no
gradient ever reaches more than the two last biases; stage 1_2 also starts the second adapters of DETR with zeros, gains
included, so that nothing but their last bias learns, and nothing in front of them in the decoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from instructsam_model.sam3i.adapters import BottleneckAdapter, Sam3IAdapters, TextAdapter
from instructsam_model.sam3i.levels import BRANCHES
from instructsam_model.sam3i.network import Sam3I

Init = Literal['corrected', 'released']
DOWN_STD = 0.02


@torch.no_grad()
def init_adapters(network: Sam3I, init: Init) -> None:
    """Initialize all adapters, and the mask predictors as copies of SAM3's; draws from torch's generator."""
    for branch in BRANCHES:
        _init_branch(network.adapters, branch, init)
    own = network.detector.model.mask_decoder.mask_embedder.state_dict()
    for predictor in network.adapters.mask_predictors.values():
        predictor.load_state_dict(own)


@torch.no_grad()
def start_complex(network: Sam3I, init: Init) -> None:
    """Start the adapters of complex instructions as those of simple ones, with a second adapter that does nothing yet.

    The second one is initialized anew; the public code sets all its values to zero. Draws from torch's generator.
    """
    adapters = network.adapters
    for layer in (*adapters.text, *adapters.encoder, *adapters.decoder):
        layer.get_submodule('adapter12').load_state_dict(layer.get_submodule('adapter1').state_dict())
    if init == 'corrected':
        _init_branch(adapters, 'adapter2', init)
    else:
        for adapter in _branch(adapters, 'adapter2'):
            for parameter in adapter.parameters():
                nn.init.zeros_(parameter)
    adapters.mask_predictors['adapter2'].load_state_dict(adapters.mask_predictors['adapter1'].state_dict())


def is_complex_trained(adapters: Sam3IAdapters) -> bool:
    """Return whether the second adapters add anything."""
    return any(bool(adapter.get_parameter('up_proj.weight').any()) for adapter in _branch(adapters, 'adapter2'))


def _branch(adapters: Sam3IAdapters, branch: str) -> Iterator[nn.Module]:
    for layer in (*adapters.text, *adapters.encoder, *adapters.decoder):
        yield layer.get_submodule(branch)


def _init_branch(adapters: Sam3IAdapters, branch: str, init: Init) -> None:
    in_decoder = {id(layer.get_submodule(branch)) for layer in adapters.decoder}
    for adapter in _branch(adapters, branch):
        if isinstance(adapter, TextAdapter):
            _init_text(adapter, init)
        else:
            assert isinstance(adapter, BottleneckAdapter)
            _init_bottleneck(adapter, init, is_decoder=id(adapter) in in_decoder)


def _init_text(adapter: TextAdapter, init: Init) -> None:
    attention = adapter.mha_adapter
    zeros = [attention.in_proj_bias, *attention.out_proj.parameters(), *adapter.up_proj.parameters()]
    if init == 'corrected':
        nn.init.xavier_uniform_(attention.in_proj_weight)
        nn.init.normal_(adapter.down_proj.weight, std=DOWN_STD)
        zeros.append(adapter.down_proj.bias)
    else:
        zeros += [attention.in_proj_weight, *adapter.down_proj.parameters()]
    for parameter in zeros:
        nn.init.zeros_(parameter)
    adapter.norm1.reset_parameters()
    adapter.norm2.reset_parameters()


def _init_bottleneck(adapter: BottleneckAdapter, init: Init, *, is_decoder: bool) -> None:
    # Weight and bias as torch has them; the bias stays so in the decoder of the public code.
    adapter.down_proj.reset_parameters()
    if init == 'corrected':
        nn.init.normal_(adapter.down_proj.weight, std=DOWN_STD)
    else:
        nn.init.xavier_uniform_(adapter.down_proj.weight)
    if init == 'corrected' or not is_decoder:
        nn.init.zeros_(adapter.down_proj.bias)
    for parameter in adapter.up_proj.parameters():
        nn.init.zeros_(parameter)
    adapter.norm.reset_parameters()
