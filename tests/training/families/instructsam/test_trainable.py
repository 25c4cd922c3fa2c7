"""Trained parameters and their rates, at full size, and merged adapters."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from instructsam_model.instructsam.checkpoint import build_empty
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_training.config.config_file import read_config
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.config.options import LoraConfig, Objective, RatesConfig
from instructsam_training.data.batch import BLANK, ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.families.instructsam.initial_weights import load_checkpoint
from instructsam_training.families.instructsam.trainable import (
    choose_trainable,
    group_of,
    group_parameters,
    merge_adapters,
    report_modules,
)
from tests.support import ROOT
from tests.support.full_size import published_config
from tests.support.small_run import GOLDEN

CONFIGS = ROOT / 'training' / 'configs'


@pytest.fixture(scope='module')
def config() -> ModelConfig:
    return published_config()


def test_adapters_are_in_the_group_of_the_adapted_weights() -> None:
    names = ('q_proj.lora_A.default.weight', 'q_proj.base_layer.weight', 'q_proj.weight')
    assert {group_of(f'model.language_model.layers.3.self_attn.{name}') for name in names} == {'llm'}


@pytest.mark.parametrize(
    ('file', 'vision_learns'), [('stage1', False), ('stage2', False), ('stage1-paper', True), ('stage2-paper', True)]
)
def test_parameter_counts_of_the_full_size_stages(config: ModelConfig, file: str, vision_learns: bool) -> None:
    """Computed from the published shapes: 28 layers with 4 projections of rank 64, and a tied embedding."""
    stage = read_config(CONFIGS / f'{file}.yaml').stages[0]
    network = build_empty(config)
    choose_trainable(network, stage.rates, stage.lora)
    rows = {row.module: row for row in report_modules(network, stage.rates)}
    assert rows['model.language_model adapters'].trainable == 28 * 64 * 2 * (2048 + 2048 + 2048 + 1024)
    assert rows['language_model.layers'].trainable == 0
    assert rows['language_model.embed_tokens'].trainable == 151_936 * 2048
    assert rows['grounding_model.vision_encoder'].trainable == 0
    assert (rows['visual.blocks'].trainable > 0) == vision_learns
    assert rows['visual.merger'].trainable == rows['visual.merger'].parameters
    adapters = rows['model.language_model adapters'].parameters
    assert sum(row.parameters for row in rows.values()) - adapters == 2_623_726_397


def test_each_group_has_its_rate(segmenter: InstructSAMSegmenter) -> None:
    network, _ = load_checkpoint(GOLDEN / 'checkpoint')
    rates = RatesConfig(llm=0.125, projector=0.25, decoder=0.375)
    choose_trainable(network, rates, LoraConfig(rank=2))
    groups = group_parameters(network, rates)
    assert {group['name']: group['lr'] for group in groups} == {'llm': 0.125, 'projector': 0.25, 'decoder': 0.375}
    grouped = {id(parameter) for group in groups for parameter in group['params']}
    assert grouped == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}


def test_matrices_for_muon_have_their_own_groups(segmenter: InstructSAMSegmenter) -> None:
    network, _ = load_checkpoint(GOLDEN / 'checkpoint')
    rates = RatesConfig(llm=0.25, llm_body=0.25, projector=0.0, decoder=0.75)
    choose_trainable(network, rates, LoraConfig(rank=0))
    groups = {group['name']: group for group in group_parameters(network, rates, muon=5.0)}
    assert {name: group['lr'] for name, group in groups.items() if 'matrices' in name} == {
        'llm, matrices': 1.25,
        'llm_body, matrices': 1.25,
        'decoder, matrices': 3.75,
    }
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    moved = {
        names[id(parameter)] for group in groups.values() if group.get('matrices') for parameter in group['params']
    }
    assert 'model.language_model.layers.0.self_attn.q_proj.weight' in moved
    assert not [name for name in moved if 'embed' in name or 'norm' in name or name == 'model.mask_queries']
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert {names[id(parameter)] for group in groups.values() for parameter in group['params']} == learning


def test_merged_adapters_compute_the_same_as_the_adapted_network() -> None:
    network, _ = load_checkpoint(GOLDEN / 'checkpoint')
    names = list(network.state_dict())
    lora = LoraConfig(rank=2, alpha=6, dropout=0.0)
    choose_trainable(network, RatesConfig(), lora)
    for name, parameter in network.named_parameters():
        if '.lora_B.' in name:
            torch.nn.init.normal_(parameter, std=0.1)
    merged = build_empty(network.config)
    merged.load_state_dict(merge_adapters(network.state_dict(), lora), assign=True)
    assert list(merged.state_dict()) == names
    embeds = torch.randn(1, 7, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        adapted, plain = (
            each.eval().model.language_model(inputs_embeds=embeds).last_hidden_state for each in (network, merged)
        )
    torch.testing.assert_close(plain, adapted)
    original, _ = load_checkpoint(GOLDEN / 'checkpoint')
    with torch.inference_mode():
        without = original.model.language_model(inputs_embeds=embeds).last_hidden_state
    assert float((without - adapted).abs().max()) > 0.01


ONLY = LoraConfig(rank=2, dropout=0.0, layers='all', only=True)


@pytest.mark.parametrize(
    ('objective', 'lora'), [*((each, LoraConfig(rank=0)) for each in get_args(Objective)), ('full', ONLY)]
)
def test_all_trained_parameters_of_an_objective_get_a_gradient(objective: Objective, lora: LoraConfig) -> None:
    """A trained parameter without a gradient would stop runs with several processes (DDP)."""
    network, preprocessor = load_checkpoint(GOLDEN / 'checkpoint')
    alone = objective in ('detector', 'shared_queries', 'dense')
    rates = RatesConfig(llm=0 if alone else 1e-3, projector=0 if alone else 1e-3, decoder=1e-3, sam3_vision=1e-3)
    choose_trainable(network, rates, lora, objective)
    for name, parameter in network.named_parameters():
        # At 0, as adapters start, lora_A gets a gradient of 0, which is none of these.
        if '.lora_B.' in name:
            torch.nn.init.normal_(parameter, std=0.1)
    builder = ExampleBuilder(preprocessor, network.config, network.mask_grid, ConversationOptions())
    turns = (Turn('Where is the ball?', (Span('ball'), Span('cup'))),)
    batch = collate([builder.encode(BLANK, turns, 'blank')], network.config).for_objective(objective)
    prediction = network(batch.inputs)
    outputs = [
        prediction.mask_logits,
        prediction.score_logits,
        prediction.refined_xyxy,
        prediction.semantic_logits if objective in ('detector', 'shared_queries') else None,
        prediction.answer_logits,
        prediction.location_logits,
    ]
    torch.stack([output.square().sum() for output in outputs if output is not None]).sum().backward()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert trained == reached
    assert any('vision_encoder.backbone' in name for name in trained) == (objective != 'language_model')
    if lora.only:
        assert not [name for name in trained if '.lora_' not in name]
        parts = (
            'language_model',
            'detr_decoder',
            'mask_decoder',
            'mask_hidden_fcs',
            'text_hidden_fcs',
            'visual.merger',
        )
        assert not [part for part in parts if not any(part in name for name in trained)]
        assert not [name for name in trained if 'lm_head' in name or 'embed_tokens' in name]
