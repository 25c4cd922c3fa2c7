"""Initialization of a small network that is trained from scratch.

With random weights of one size for all layers, signals vanish between its parts, and training takes long to start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Sam3Model

from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.sam3.detector import Sam3Detector

OUTSIDE_BOX_PENALTY = 6.0
"""Initial slope of the attention bias outside the box of a query."""
CROSS_ATTENTION_GAIN = 0.35
"""Initial gain of the image cross-attention: its output is nearly equal for all queries and must not dominate them."""
WAVE_BASE = 30.0
"""Ratio of the highest and the lowest frequency of a position embedding."""
REFERENCE_SIDE = 15
"""Side of the grid on which the shortest wave is 2 pi patches long."""


@torch.no_grad()
def init_small_model(network: InstructSAM) -> None:
    """Initialize all parts of the network."""
    init_text_scale(network)
    init_position_embeddings(network)
    # Random rows: equal ones, as published, take long to become different.
    nn.init.normal_(network.model.mask_queries)
    normalize_feature_scale(network.model.grounding_model)
    init_box_attention(network.model.grounding_model.model)


@torch.no_grad()
def init_text_scale(network: InstructSAM) -> None:
    """Scale phrase features to the magnitude of SAM3's image features, ten times that of random weights."""
    nn.init.normal_(network.model.language_model.embed_tokens.weight)
    for projection in (*network.model.text_hidden_fcs, *network.model.mask_hidden_fcs):
        # The layers of a projection are linear, ReLU, linear.
        for layer in (projection[0], projection[2]):
            nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')


@torch.no_grad()
def init_position_embeddings(network: InstructSAM) -> None:
    """Initialize the learned position embeddings as waves, so that nearby positions are similar."""
    backbone = network.model.grounding_model.model.vision_encoder.backbone
    for embedding in (backbone.embeddings.position_embeddings, network.model.visual.pos_embed.weight):
        side = round(embedding.shape[-2] ** 0.5)
        embedding.copy_(waves(side, embedding.shape[-1]).view_as(embedding))


@torch.no_grad()
def normalize_feature_scale(grounding: Sam3Detector) -> None:
    """Scale all levels of SAM3's features to a variance of 1, measured on noise (LSUV, Mishkin and Matas, 2016).

    Larger features of the coarsest level would dominate the queries in attention; smaller ones would weaken the masks.
    """
    side = grounding.model.config.vision_config.backbone_config.image_size
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    for level, features in zip(
        grounding.model.vision_encoder.neck.fpn_layers, grounding.encode(noise).maps, strict=False
    ):
        level.proj2.weight /= features.std()
        level.proj2.bias /= features.std()


@torch.no_grad()
def init_box_attention(sam3: Sam3Model) -> None:
    """Initialize SAM3's decoder as in DETR, with attention inside the queries' boxes and no refinement of the boxes.

    With small random weights, every query attends to the whole image alike, and they take long to become different.
    """
    decoder = sam3.detr_decoder
    for part in (decoder, sam3.mask_decoder.mask_embedder, sam3.dot_product_scoring):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
    for layer in decoder.layers:
        layer.vision_cross_attn.o_proj.weight *= CROSS_ATTENTION_GAIN
    for bias in (decoder.box_rpb_embed_x, decoder.box_rpb_embed_y):
        # Inputs are signed distances from both edges of a box; the first two units measure the distance outside of it.
        bias.layer1.weight[:2] = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
        bias.layer2.weight[:, :2] = -OUTSIDE_BOX_PENALTY
    nn.init.zeros_(decoder.box_head.layer3.weight)


def waves(side: int, width: int) -> Tensor:
    """Return sines and cosines of the rows and columns of a square grid, [side * side, width]."""
    frequencies = WAVE_BASE ** -torch.linspace(0, 1, width // 4)
    angles = torch.arange(side).unsqueeze(1) * frequencies * (REFERENCE_SIDE / side)
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # [side, width / 2]
    rows, columns = axis.repeat_interleave(side, dim=0), axis.repeat(side, 1)
    return torch.cat([rows, columns], dim=1)
