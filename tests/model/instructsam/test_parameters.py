"""Groups of the network's parameters, at full size; covers sam3/parameters.py too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instructsam_model.instructsam.checkpoint import build_empty
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.parameters import (
    DETECTOR,
    QUERY_TABLES,
    SHARDED_LAYERS,
    ForwardPass,
    is_adaptable,
    is_matrix,
    parameter_groups,
)
from instructsam_model.instructsam.variant import Variant
from instructsam_model.sam3 import parameters as sam3
from tests.support.full_size import published_config

BANK, PROJECTION = 'model.mask_queries', 'model.mask_hidden_fcs.0.0.weight'
OWN_QUERIES = DETECTOR + 'detr_decoder.query_embed.weight'
SEMANTIC_HEAD = DETECTOR + 'mask_decoder.semantic_projection.weight'


@pytest.fixture(scope='module')
def config() -> ModelConfig:
    return published_config()


@pytest.fixture(scope='module')
def shapes(config: ModelConfig) -> dict[str, int]:
    """Number of dimensions of each parameter, by name."""
    return {name: parameter.ndim for name, parameter in build_empty(config).named_parameters()}


@pytest.mark.parametrize(
    ('name', 'group'),
    [
        ('model.language_model.embed_tokens.weight', 'llm'),
        ('model.language_model.layers.3.self_attn.o_proj.weight', 'llm'),
        ('model.language_model.layers.3.self_attn.q_norm.weight', 'llm_body'),
        ('model.language_model.layers.3.mlp.up_proj.weight', 'llm_body'),
        ('model.visual.merger.linear_fc1.weight', 'projector'),
        ('model.visual.deepstack_merger_list.0.norm.bias', 'vision'),
        ('model.visual.blocks.0.attn.qkv.weight', 'vision'),
        (DETECTOR + 'vision_encoder.neck.fpn_layers.0.proj1.bias', 'sam3_vision'),
        (DETECTOR + 'vision_encoder.neck.fpn_layers.2.proj1.bias', 'sam3_vision'),
        (DETECTOR + 'vision_encoder.neck.fpn_layers.3.proj1.bias', None),
        (DETECTOR + 'detr_decoder.reference_points.weight', 'decoder'),
        (DETECTOR + 'mask_decoder.pixel_decoder.conv_layers.1.weight', 'decoder'),
        (DETECTOR + 'mask_decoder.pixel_decoder.conv_layers.2.weight', None),
        (DETECTOR + 'geometry_encoder.final_proj.bias', None),
        (OWN_QUERIES, None),
        (BANK, 'decoder'),
        (PROJECTION, 'decoder'),
    ],
)
def test_group_of_each_parameter(config: ModelConfig, shapes: dict[str, int], name: str, group: str | None) -> None:
    assert name in shapes
    assert parameter_groups(shapes, config).get(name) == group


@pytest.mark.parametrize(
    ('variant', 'unused', 'used'),
    [
        (Variant(query_bank=False), [BANK, OWN_QUERIES], [PROJECTION]),
        (Variant(conditioned_queries=False), [PROJECTION], [BANK, OWN_QUERIES, SEMANTIC_HEAD]),
    ],
)
def test_parameters_that_a_variant_does_not_use_have_no_group(
    config: ModelConfig, shapes: dict[str, int], variant: Variant, unused: list[str], used: list[str]
) -> None:
    groups = parameter_groups(shapes, replace(config, variant=variant))
    assert groups.keys().isdisjoint(unused)
    assert {groups[name] for name in used} == {'decoder'}


@pytest.mark.parametrize(
    ('forward', 'unused', 'used'),
    [
        ('text', [PROJECTION, OWN_QUERIES, DETECTOR + 'vision_encoder.neck.fpn_layers.0.proj1.bias'], [BANK]),
        ('detector', [BANK, PROJECTION], [OWN_QUERIES, SEMANTIC_HEAD]),
        ('dense', [BANK, PROJECTION, OWN_QUERIES, SEMANTIC_HEAD], [DETECTOR + 'dot_product_scoring.query_proj.weight']),
    ],
)
def test_parameters_that_a_pass_does_not_use_have_no_group(
    config: ModelConfig, shapes: dict[str, int], forward: ForwardPass, unused: list[str], used: list[str]
) -> None:
    assert shapes.keys() >= {*unused, *used}
    groups = parameter_groups(shapes, config, forward)
    assert groups.keys().isdisjoint(unused)
    assert {groups[name] for name in used} == {'decoder'}


def test_every_name_is_one_of_the_network(config: ModelConfig, shapes: dict[str, int]) -> None:
    """A prefix that nothing begins with would silently freeze or train the wrong parameters."""
    prefixes = [*sam3.PROMPT_ENCODERS, *sam3.spare_parts(config.sam3), *sam3.dense_parts(config.sam3)]
    prefixes += [sam3.VISION_ENCODER, sam3.QUERY_EMBEDDING, sam3.SEMANTIC_HEAD]
    assert all(any(name.startswith(DETECTOR + prefix) for name in shapes) for prefix in prefixes)
    assert all(any(part in name for name in shapes) for part in sam3.NON_MATRIX_NAMES)
    assert shapes.keys() >= {*QUERY_TABLES}


def test_matrices_are_neither_tables_nor_vectors(shapes: dict[str, int]) -> None:
    assert is_matrix('model.language_model.layers.0.mlp.up_proj.weight', 2)
    for name in ('model.language_model.embed_tokens.weight', *QUERY_TABLES):
        assert shapes[name] == 2
        assert not is_matrix(name, shapes[name])
    assert not is_matrix('model.language_model.norm.weight', 1)


def test_adapters_go_to_the_attention_of_the_language_model(config: ModelConfig) -> None:
    modules = [name for name, _ in build_empty(config).named_modules() if is_adaptable(name)]
    assert len(modules) == 4 * config.qwen.text_config.num_hidden_layers
    assert all('language_model' in name and 'self_attn' in name for name in modules)


def test_sharded_layers_are_classes_of_the_network(config: ModelConfig) -> None:
    assert {type(module).__name__ for module in build_empty(config).modules()} >= {*SHARDED_LAYERS}
