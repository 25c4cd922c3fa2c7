"""Names and shapes of the detector in Meta's `sam3.pt`, written down from the package `sam3`.

`test_meta_parity.py` compares them with what that package builds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor
from transformers import Sam3Config

Shape = tuple[int, ...]
POINT_PROJECTIONS = ('points_direct_project', 'points_pool_project', 'points_pos_enc_project')


def meta_shapes(config: Sam3Config) -> dict[str, Shape]:
    """Names and shapes of the detector, without the prefix `detector.`, less the rotary positions."""
    return dict(
        [
            *_image_encoder(config),
            *_text_encoder(config),
            *_geometry_encoder(config),
            *_detr(config),
            *_segmentation_head(config),
            *_scoring(config),
        ]
    )


def shapes_of(tensors: dict[str, Tensor]) -> dict[str, Shape]:
    """Names and shapes of what was converted or built."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def random_tensors(shapes: dict[str, Shape], seed: int = 0) -> dict[str, Tensor]:
    """Matrices that keep the size of what they multiply, embeddings of size 1, gains about 1, offsets about 0."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        tensor = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            tensor = tensor * 0.1 + name.endswith('weight')
        elif not name.endswith('_embed.weight'):
            tensor = tensor * torch.Size(shape[1:]).numel() ** -0.5
        tensors[name] = tensor
    return tensors


def _linear(name: str, width_out: int, *width_in: int) -> Iterator[tuple[str, Shape]]:
    yield f'{name}.weight', (width_out, *width_in)
    yield f'{name}.bias', (width_out,)


def _transposed_convolution(name: str, width_in: int, width_out: int) -> Iterator[tuple[str, Shape]]:
    yield f'{name}.weight', (width_in, width_out, 2, 2)
    yield f'{name}.bias', (width_out,)


def _attention(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f'{name}.in_proj_weight', (3 * width, width)
    yield f'{name}.in_proj_bias', (3 * width,)
    yield from _linear(f'{name}.out_proj', width, width)


def _mlp(name: str, *widths: int) -> Iterator[tuple[str, Shape]]:
    for index, (width_in, width_out) in enumerate(pairwise(widths)):
        yield from _linear(f'{name}.layers.{index}', width_out, width_in)


def _image_encoder(config: Sam3Config) -> Iterator[tuple[str, Shape]]:
    vit, neck = config.vision_config.backbone_config, config.vision_config
    width, start = vit.hidden_size, 'backbone.vision_backbone.trunk'
    positions = (vit.pretrain_image_size // vit.patch_size) ** 2 + 1
    yield f'{start}.pos_embed', (1, positions, width)
    yield f'{start}.patch_embed.proj.weight', (width, 3, vit.patch_size, vit.patch_size)
    yield from _linear(f'{start}.ln_pre', width)
    for index in range(vit.num_hidden_layers):
        block = f'{start}.blocks.{index}'
        yield from _linear(f'{block}.norm1', width)
        yield from _linear(f'{block}.attn.qkv', 3 * width, width)
        yield from _linear(f'{block}.attn.proj', width, width)
        yield from _linear(f'{block}.norm2', width)
        yield from _linear(f'{block}.mlp.fc1', vit.intermediate_size, width)
        yield from _linear(f'{block}.mlp.fc2', width, vit.intermediate_size)
    levels = 'backbone.vision_backbone.convs'
    yield from _transposed_convolution(f'{levels}.0.dconv_2x2_0', width, width // 2)
    yield from _transposed_convolution(f'{levels}.0.dconv_2x2_1', width // 2, width // 4)
    yield from _transposed_convolution(f'{levels}.1.dconv_2x2', width, width // 2)
    for level, width_in in enumerate((width // 4, width // 2, width, width)):
        yield from _linear(f'{levels}.{level}.conv_1x1', neck.fpn_hidden_size, width_in, 1, 1)
        yield from _linear(f'{levels}.{level}.conv_3x3', neck.fpn_hidden_size, neck.fpn_hidden_size, 3, 3)


def _text_encoder(config: Sam3Config) -> Iterator[tuple[str, Shape]]:
    text, start = config.text_config, 'backbone.language_backbone.encoder'
    width = text.hidden_size
    yield f'{start}.positional_embedding', (text.max_position_embeddings, width)
    yield f'{start}.text_projection', (width, text.projection_dim)
    yield f'{start}.token_embedding.weight', (text.vocab_size, width)
    for index in range(text.num_hidden_layers):
        block = f'{start}.transformer.resblocks.{index}'
        yield from _attention(f'{block}.attn', width)
        yield from _linear(f'{block}.ln_1', width)
        yield from _linear(f'{block}.ln_2', width)
        yield from _linear(f'{block}.mlp.c_fc', text.intermediate_size, width)
        yield from _linear(f'{block}.mlp.c_proj', width, text.intermediate_size)
    yield from _linear(f'{start}.ln_final', width)
    yield from _linear('backbone.language_backbone.resizer', config.detr_encoder_config.hidden_size, width)


def _encoder_layer(name: str, width: int, inner: int) -> Iterator[tuple[str, Shape]]:
    yield from _attention(f'{name}.self_attn', width)
    yield from _attention(f'{name}.cross_attn_image', width)
    yield from _linear(f'{name}.linear1', inner, width)
    yield from _linear(f'{name}.linear2', width, inner)
    for index in (1, 2, 3):
        yield from _linear(f'{name}.norm{index}', width)


def _geometry_encoder(config: Sam3Config) -> Iterator[tuple[str, Shape]]:
    geometry = config.geometry_encoder_config
    width = geometry.hidden_size
    yield 'geometry_encoder.label_embed.weight', (2, width)
    yield 'geometry_encoder.cls_embed.weight', (1, width)
    for name, width_in in zip(POINT_PROJECTIONS, (2, width, width), strict=True):
        yield from _linear(f'geometry_encoder.{name}', width, width_in)
    yield from _linear('geometry_encoder.boxes_direct_project', width, 4)
    yield from _linear('geometry_encoder.boxes_pool_project', width, width, geometry.roi_size, geometry.roi_size)
    yield from _linear('geometry_encoder.boxes_pos_enc_project', width, width + 2)
    yield from _linear('geometry_encoder.final_proj', width, width)
    for name in ('norm', 'img_pre_norm', 'encode_norm'):
        yield from _linear(f'geometry_encoder.{name}', width)
    for index in range(geometry.num_layers):
        yield from _encoder_layer(f'geometry_encoder.encode.{index}', width, geometry.intermediate_size)


def _detr(config: Sam3Config) -> Iterator[tuple[str, Shape]]:
    encoder, decoder = config.detr_encoder_config, config.detr_decoder_config
    width, heads, start = decoder.hidden_size, decoder.num_attention_heads, 'transformer.decoder'
    for index in range(encoder.num_layers):
        yield from _encoder_layer(f'transformer.encoder.layers.{index}', width, encoder.intermediate_size)
    for index in range(decoder.num_layers):
        layer = f'{start}.layers.{index}'
        for name in ('self_attn', 'ca_text', 'cross_attn'):
            yield from _attention(f'{layer}.{name}', width)
        for name in ('norm1', 'norm2', 'norm3', 'catext_norm'):
            yield from _linear(f'{layer}.{name}', width)
        yield from _linear(f'{layer}.linear1', decoder.intermediate_size, width)
        yield from _linear(f'{layer}.linear2', width, decoder.intermediate_size)
    yield f'{start}.query_embed.weight', (decoder.num_queries, width)
    yield f'{start}.reference_points.weight', (decoder.num_queries, 4)
    yield f'{start}.presence_token.weight', (1, width)
    yield from _linear(f'{start}.norm', width)
    yield from _linear(f'{start}.presence_token_out_norm', width)
    yield from _mlp(f'{start}.presence_token_head', width, width, width, 1)
    yield from _mlp(f'{start}.bbox_embed', width, width, width, 4)
    yield from _mlp(f'{start}.ref_point_head', 2 * width, width, width)
    for axis in 'xy':
        yield from _mlp(f'{start}.boxRPB_embed_{axis}', 2, width, heads)


def _segmentation_head(config: Sam3Config) -> Iterator[tuple[str, Shape]]:
    head, start = config.mask_decoder_config, 'segmentation_head'
    width = head.hidden_size
    for index in range(head.num_upsampling_stages):
        yield from _linear(f'{start}.pixel_decoder.conv_layers.{index}', width, width, 3, 3)
        yield from _linear(f'{start}.pixel_decoder.norms.{index}', width)
    yield from _mlp(f'{start}.mask_predictor.mask_embed', width, width, width, width)
    yield from _attention(f'{start}.cross_attend_prompt', width)
    yield from _linear(f'{start}.cross_attn_norm', width)
    yield from _linear(f'{start}.instance_seg_head', width, width, 1, 1)
    yield from _linear(f'{start}.semantic_seg_head', 1, width, 1, 1)


def _scoring(config: Sam3Config) -> Iterator[tuple[str, Shape]]:
    decoder = config.detr_decoder_config
    width = decoder.hidden_size
    yield from _mlp('dot_prod_scoring.prompt_mlp', width, decoder.intermediate_size, width)
    yield from _linear('dot_prod_scoring.prompt_mlp.out_norm', width)
    yield from _linear('dot_prod_scoring.prompt_proj', width, width)
    yield from _linear('dot_prod_scoring.hs_proj', width, width)
