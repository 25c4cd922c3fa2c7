"""SAM3 from Meta's `sam3.pt`: names, shapes, and which tensor goes where."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Sam3Config, Sam3Model

from instructsam_model import CheckpointError
from instructsam_model.instructsam.config import read_sam3_config
from instructsam_model.sam3.meta_weights import convert_tensors, read_meta_sam3
from tests.support.meta_layout import meta_shapes, random_tensors, shapes_of


@pytest.fixture(scope='module')
def tiny(checkpoint: Path) -> Sam3Config:
    return read_sam3_config(checkpoint / 'sam3' / 'config.json')


@pytest.fixture(scope='module')
def meta_tensors(tiny: Sam3Config) -> dict[str, Tensor]:
    return random_tensors(meta_shapes(tiny))


@pytest.mark.parametrize('size', ['tiny', 'published'])
def test_converted_names_and_shapes_are_those_of_transformers(size: str, tiny: Sam3Config) -> None:
    config = tiny if size == 'tiny' else Sam3Config()
    with torch.device('meta'):
        converted = convert_tensors({name: torch.empty(shape) for name, shape in meta_shapes(config).items()})
        assert shapes_of(converted) == shapes_of(Sam3Model(config).state_dict())


@pytest.mark.parametrize(
    ('meta', 'ours', 'part'),
    [
        ('backbone.vision_backbone.trunk.blocks.1.attn.qkv', 'vision_encoder.backbone.layers.1.attention', '{}.{}'),
        ('transformer.encoder.layers.1.cross_attn_image.in_proj', 'detr_encoder.layers.1.cross_attn', '{}_{}'),
        ('transformer.decoder.layers.0.ca_text.in_proj', 'detr_decoder.layers.0.text_cross_attn', '{}_{}'),
        ('segmentation_head.cross_attend_prompt.in_proj', 'mask_decoder.prompt_cross_attn', '{}_{}'),
    ],
)
def test_projections_are_split_into_query_key_and_value(
    meta: str, ours: str, part: str, meta_tensors: dict[str, Tensor]
) -> None:
    converted = convert_tensors(meta_tensors)
    for kind in ('weight', 'bias'):
        projections = [converted[f'{ours}.{letter}_proj.{kind}'] for letter in 'qkv']
        assert torch.equal(torch.cat(projections), meta_tensors[part.format(meta, kind)])


@pytest.mark.parametrize(
    ('meta', 'ours'),
    [
        ('norm1', 'vision_cross_attn_layer_norm'),
        ('catext_norm', 'text_cross_attn_layer_norm'),
        ('norm2', 'self_attn_layer_norm'),
        ('norm3', 'mlp_layer_norm'),
        ('cross_attn.out_proj', 'vision_cross_attn.o_proj'),
    ],
)
def test_same_shapes_in_a_decoder_layer_are_not_exchanged(
    meta: str, ours: str, meta_tensors: dict[str, Tensor]
) -> None:
    converted = convert_tensors(meta_tensors)[f'detr_decoder.layers.1.{ours}.weight']
    assert torch.equal(converted, meta_tensors[f'transformer.decoder.layers.1.{meta}.weight'])


def test_position_of_the_class_token_is_dropped_and_the_text_projection_transposed(
    meta_tensors: dict[str, Tensor],
) -> None:
    converted = convert_tensors(meta_tensors)
    positions = converted['vision_encoder.backbone.embeddings.position_embeddings']
    assert torch.equal(positions, meta_tensors['backbone.vision_backbone.trunk.pos_embed'][:, 1:])
    projection = converted['text_encoder.text_projection.weight']
    assert torch.equal(projection, meta_tensors['backbone.language_backbone.encoder.text_projection'].T)


def published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As in the published file: the detector beside the tracker, the tracker's pyramid and tables of rotations."""
    return {
        **{f'detector.{name}': tensor for name, tensor in tensors.items()},
        'detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis': torch.zeros(4, 2, dtype=torch.complex64),
        'detector.backbone.vision_backbone.sam2_convs.0.conv_1x1.bias': torch.zeros(1),
        'tracker.maskmem_tpos_enc': torch.zeros(1),
    }


@pytest.mark.parametrize(
    'wrap',
    [
        pytest.param(published, id='published file'),
        pytest.param(lambda tensors: {'model': published(tensors)}, id='under a key'),
        pytest.param(lambda tensors: {'model': tensors, 'optimizer': {'state': {}}, 'epoch': 3}, id="Meta's trainer"),
    ],
)
def test_forms_of_the_file(wrap: Callable[..., Any], meta_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(wrap(meta_tensors), tmp_path / 'sam3.pt')
    read, expected = read_meta_sam3(tmp_path / 'sam3.pt'), convert_tensors(meta_tensors)
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)


class NotATensor:
    """Anything that only a pickle can hold."""


def write_damaged(file: Path) -> None:
    torch.save({'norm.weight': torch.zeros(1)}, file)
    file.write_bytes(file.read_bytes().replace(b'norm.weight', b'\xff' * 11))


@pytest.mark.parametrize(
    ('write', 'message'),
    [
        pytest.param(lambda file: None, 'sam3.pt: no such file', id='missing'),
        pytest.param(lambda file: file.write_bytes(b'PK\x03\x04'), 'expected a torch checkpoint', id='cut short'),
        pytest.param(write_damaged, 'expected a torch checkpoint', id='damaged'),
        pytest.param(lambda file: file.write_bytes(pickle.dumps({'a': 1})), 'expected a torch checkpoint', id='pickle'),
        pytest.param(
            lambda file: torch.save({'model': NotATensor()}, file), 'tensors only; .*NotATensor, whose code', id='code'
        ),
        pytest.param(lambda file: torch.save([1, 2], file), 'expected the tensors of SAM3 by name', id='list'),
        pytest.param(lambda file: torch.save({'epoch': 3}, file), 'expected the tensors of SAM3 by name', id='number'),
        pytest.param(
            lambda file: torch.save({f'layer{index}.weight': torch.zeros(1) for index in range(5)}, file),
            r'got 5 others: layer0\.weight, layer1\.weight, layer2\.weight, \.\.\.',
            id='other network',
        ),
    ],
)
def test_files_that_are_not_sam3_are_named(write: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    file = tmp_path / 'sam3.pt'
    write(file)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_meta_sam3(file)
    assert str(file) in str(caught.value)
