"""First weights of a small network, where random ones of one size for all would take long to learn anything."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Sam3Model

from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.sam3.detector import Sam3Detector

OUTSIDE_BOX_PENALTY = 6.0
"""How steeply the attention of slots falls, at first, outside of their boxes."""
CROSS_ATTENTION_GAIN = 0.35
"""What a slot sees is much the same for all slots at first, and shall not drown what tells them apart."""
WAVE_BASE = 30.0
"""Between the frequencies of the shortest and of the longest wave of a position embedding."""
SHORTEST_GRID = 15
"""On a grid of this side the shortest wave has 2 pi patches."""


@torch.no_grad()
def init_small_model(network: InstructSAM) -> None:
    """Start the parts of the network with signals that reach those behind them."""
    init_text_scale(network)
    init_position_embeddings(network)
    nn.init.normal_(network.model.mask_queries)  # the published start, equal rows, takes long to come apart
    normalize_feature_scale(network.model.grounding_model)
    init_box_attention(network.model.grounding_model.model)


@torch.no_grad()
def init_text_scale(network: InstructSAM) -> None:
    """Make phrases about as large as the image features that they meet in SAM3; they would be a tenth of that."""
    nn.init.normal_(network.model.language_model.embed_tokens.weight)
    for projection in (*network.model.text_hidden_fcs, *network.model.mask_hidden_fcs):
        for layer in (projection[0], projection[2]):
            nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')


@torch.no_grad()
def init_position_embeddings(network: InstructSAM) -> None:
    """Start the learnt position embeddings as waves: places that are near each other look alike."""
    backbone = network.model.grounding_model.model.vision_encoder.backbone
    for embedding in (backbone.embeddings.position_embeddings, network.model.visual.pos_embed.weight):
        side = round(embedding.shape[-2] ** 0.5)
        embedding.copy_(waves(side, embedding.shape[-1]).view_as(embedding))


@torch.no_grad()
def normalize_feature_scale(grounding: Sam3Detector) -> None:
    """Start all levels of SAM3's features with a variance of 1, seen on noise (LSUV, Mishkin and Matas, 2016).

    Where the coarsest is larger, attention to it drowns what tells the slots apart; where it is smaller, masks are.
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
    """Start SAM3's decoder as DETR's is started, its attention inside the slots' boxes, and the boxes where they are.

    With small random weights all slots see the mean of the whole picture, and it takes long until they come apart.
    """
    decoder = sam3.detr_decoder
    for part in (decoder, sam3.mask_decoder.mask_embedder, sam3.dot_product_scoring):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
    for layer in decoder.layers:
        layer.vision_cross_attn.o_proj.weight *= CROSS_ATTENTION_GAIN
    for bias in (decoder.box_rpb_embed_x, decoder.box_rpb_embed_y):
        # The inputs are signed distances from both edges of a box; the first two units measure how far outside.
        bias.layer1.weight[:2] = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
        bias.layer2.weight[:, :2] = -OUTSIDE_BOX_PENALTY
    nn.init.zeros_(decoder.box_head.layer3.weight)


def waves(side: int, width: int) -> Tensor:
    """Sines and cosines of the rows and columns of a square grid, [side * side, width]."""
    frequencies = WAVE_BASE ** -torch.linspace(0, 1, width // 4)
    angles = torch.arange(side).unsqueeze(1) * frequencies * (SHORTEST_GRID / side)
    along = torch.cat([angles.sin(), angles.cos()], dim=1)  # [side, width / 2]
    rows, columns = along.repeat_interleave(side, dim=0), along.repeat(side, 1)
    return torch.cat([rows, columns], dim=1)
