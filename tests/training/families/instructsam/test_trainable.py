"""What learns at which rate, at full size, and how adapters are merged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from instructsam_model.instructsam.checkpoint import build_empty
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.instructsam.variant import Variant
from instructsam_training.config.config_file import read_config
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.config.options import LoraConfig, RatesConfig
from instructsam_training.data.batch import ExampleBuilder, collate
from instructsam_training.families.instructsam.initial_weights import load_checkpoint
from instructsam_training.families.instructsam.trainable import (
    SAM3_ALONE,
    choose_trainable,
    freeze_detector,
    group_parameters,
    merge_adapters,
    part_of,
    report_modules,
)
from tests.support import ROOT
from tests.support.full_size import published_config
from tests.support.small_run import GOLDEN

CONFIGS = ROOT / 'training' / 'configs'
SAM3 = 'model.grounding_model.model.'


@pytest.fixture(scope='module')
def config() -> ModelConfig:
    return published_config()


@pytest.mark.parametrize(
    ('name', 'part'),
    [
        ('model.language_model.embed_tokens.weight', 'llm'),
        ('model.language_model.layers.3.self_attn.q_proj.lora_A.default.weight', 'llm'),
        ('model.language_model.layers.3.self_attn.q_proj.base_layer.weight', 'frozen'),
        ('model.language_model.layers.3.self_attn.o_proj.weight', 'llm'),
        ('model.language_model.layers.3.self_attn.q_norm.weight', 'llm_body'),
        ('model.language_model.layers.3.mlp.up_proj.weight', 'llm_body'),
        ('model.visual.merger.linear_fc1.weight', 'projector'),
        ('model.visual.deepstack_merger_list.0.norm.bias', 'vision'),
        ('model.visual.blocks.0.attn.qkv.weight', 'vision'),
        (SAM3 + 'vision_encoder.neck.fpn_layers.0.proj1.bias', 'sam3_vision'),
        (SAM3 + 'detr_decoder.reference_points.weight', 'decoder'),
        (SAM3 + 'mask_decoder.pixel_decoder.conv_layers.1.weight', 'decoder'),
        (SAM3 + 'mask_decoder.pixel_decoder.conv_layers.2.weight', 'frozen'),
        (SAM3 + 'geometry_encoder.final_proj.bias', 'frozen'),
        (SAM3 + 'detr_decoder.query_embed.weight', 'frozen'),
        ('model.mask_queries', 'decoder'),
        ('model.mask_hidden_fcs.0.0.weight', 'decoder'),
    ],
)
def test_part_of_each_parameter(config: ModelConfig, name: str, part: str) -> None:
    assert part_of(name, config) == part


@pytest.mark.parametrize(
    ('variant', 'frozen', 'decoder'),
    [
        (Variant(query_bank=False), 'model.mask_queries', 'model.mask_hidden_fcs.0.0.weight'),
        (
            Variant(conditioned_queries=False),
            'model.mask_hidden_fcs.0.0.weight',
            SAM3 + 'detr_decoder.query_embed.weight',
        ),
    ],
)
def test_what_a_variant_does_not_use_is_frozen(
    config: ModelConfig, variant: Variant, frozen: str, decoder: str
) -> None:
    changed = replace(config, variant=variant)
    assert (part_of(frozen, changed), part_of(decoder, changed)) == ('frozen', 'decoder')


@pytest.mark.parametrize(
    ('file', 'vision_learns'), [('stage1', False), ('stage2', False), ('stage1-paper', True), ('stage2-paper', True)]
)
def test_full_size_stages(config: ModelConfig, file: str, vision_learns: bool) -> None:
    """Facts of the published shapes: 28 layers with 4 projections of rank 64, and a tied embedding."""
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


def test_each_part_has_its_rate(segmenter: InstructSAMSegmenter) -> None:
    network, _ = load_checkpoint(GOLDEN / 'checkpoint')
    rates = RatesConfig(llm=1.0, projector=2.0, decoder=3.0)
    choose_trainable(network, rates, LoraConfig(rank=2))
    groups = group_parameters(network, rates)
    assert {group['name']: group['lr'] for group in groups} == {'llm': 1.0, 'projector': 2.0, 'decoder': 3.0}
    grouped = {id(parameter) for group in groups for parameter in group['params']}
    assert grouped == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}


def test_matrices_that_muon_moves_have_groups_of_their_own(segmenter: InstructSAMSegmenter) -> None:
    network, _ = load_checkpoint(GOLDEN / 'checkpoint')
    rates = RatesConfig(llm=1.0, llm_body=1.0, projector=0.0, decoder=3.0)
    choose_trainable(network, rates, LoraConfig(rank=0))
    groups = {group['name']: group for group in group_parameters(network, rates, muon=5.0)}
    assert {name: group['lr'] for name, group in groups.items() if 'matrices' in name} == {
        'llm, matrices': 5.0,
        'llm_body, matrices': 5.0,
        'decoder, matrices': 15.0,
    }
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    moved = {
        names[id(parameter)] for group in groups.values() if group.get('matrices') for parameter in group['params']
    }
    assert 'model.language_model.layers.0.self_attn.q_proj.weight' in moved
    assert not [name for name in moved if 'embed' in name or 'norm' in name or name == 'model.mask_queries']
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert {names[id(parameter)] for group in groups.values() for parameter in group['params']} == learning


def test_merged_adapters_compute_what_the_adapted_network_does() -> None:
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


def test_sam3_alone_trains_what_it_uses_and_nothing_else(config: ModelConfig) -> None:
    """Without the language model its queries and projections get no gradient, which would stop several processes."""
    alone = replace(config, variant=SAM3_ALONE)
    decoder = 'model.grounding_model.model.'
    frozen = ['model.mask_queries', 'model.mask_hidden_fcs.0.0.weight']
    learning = ['detr_decoder.query_embed.weight', 'mask_decoder.semantic_projection.weight']
    assert {part_of(name, alone) for name in frozen} == {'frozen'}
    assert {part_of(decoder + name, alone) for name in learning} == {'decoder'}
    assert {part_of(decoder + name, config) for name in learning} == {'frozen'}
    assert part_of(decoder + 'vision_encoder.neck.fpn_layers.3.proj1.weight', config) == 'frozen'
    assert part_of(decoder + 'vision_encoder.neck.fpn_layers.2.proj1.weight', config) == 'sam3_vision'


def test_where_places_are_scored_all_that_learns_gets_a_gradient() -> None:
    network, preprocessor = load_checkpoint(GOLDEN / 'checkpoint')
    network.config = replace(network.config, variant=SAM3_ALONE)
    choose_trainable(network, RatesConfig(llm=0, decoder=1e-3, sam3_vision=1e-3), LoraConfig(rank=0))
    freeze_detector(network)
    builder = ExampleBuilder(preprocessor, network.config, network.mask_grid, ConversationOptions())
    inputs = collate([builder.blank()], network.config).inputs
    places = network(replace(inputs, reads=False, detects=False)).location_logits
    assert places is not None
    places.square().sum().backward()
    learns = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learns == reached
    assert any('vision_encoder.backbone' in name for name in learns)
