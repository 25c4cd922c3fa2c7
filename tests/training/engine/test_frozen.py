"""Frozen weights in bfloat16: the forward pass and the checkpoint are bitwise the same."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from instructsam_model import Frame
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.options import LoraConfig, RatesConfig
from instructsam_training.data.batch import ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.engine.frozen import cast_frozen
from instructsam_training.families.instructsam.trainable import choose_trainable
from tests.support.small_run import GOLDEN


@pytest.mark.parametrize('rates', [RatesConfig(), RatesConfig(llm=0, projector=0, decoder=0)], ids=['paper', 'nothing'])
def test_forward_pass_under_autocast_is_bitwise_equal(segmenter: InstructSAMSegmenter, rates: RatesConfig) -> None:
    network = copy.deepcopy(segmenter.network)
    choose_trainable(network, rates, LoraConfig(rank=2, dropout=0))
    builder = ExampleBuilder.for_training(segmenter.preprocessor, network, DataConfig(max_pixels=65536))
    frame = Frame(read_image(Path(GOLDEN / 'images' / '000.png')))
    inputs = collate([builder.encode(frame, [Turn('Segment the ball.', (Span('ball'),))], '')], network.config).inputs
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        before = network(inputs)
        cast_frozen(network, keep=False)
        after = network(inputs)
    for name in ('mask_logits', 'score_logits', 'refined_xyxy', 'answer_logits', 'query_states'):
        assert torch.equal(getattr(before, name), getattr(after, name)), name
    halved = {name for name, parameter in network.named_parameters() if parameter.dtype == torch.bfloat16}
    assert 'model.language_model.layers.0.mlp.up_proj.weight' in halved
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters() if parameter.requires_grad)


def test_exact_values_of_rounded_weights_are_returned_for_the_checkpoint() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 3)).requires_grad_(False)
    with torch.no_grad():
        network[0].weight.fill_(0.5)  # what bfloat16 holds exactly
        network[0].bias.fill_(0.1)
    network[2].requires_grad_(True)
    rounded = cast_frozen(network, keep=True)
    assert rounded.keys() == {'0.bias'}
    assert torch.equal(rounded['0.bias'], torch.full((3,), 0.1))
    dtypes = {name: parameter.dtype for name, parameter in network.named_parameters()}
    assert {name for name, dtype in dtypes.items() if dtype == torch.bfloat16} == {'0.weight', '0.bias'}
    assert cast_frozen(network, keep=False) == {}


def test_head_that_shares_a_frozen_embedding_stays_in_float32() -> None:
    network = nn.ModuleDict({'embedding': nn.Embedding(4, 3), 'head': nn.Linear(3, 4, bias=False)})
    network['head'].weight = network['embedding'].weight
    network.requires_grad_(False)
    cast_frozen(network, keep=False)
    assert network['embedding'].weight.dtype == torch.float32
