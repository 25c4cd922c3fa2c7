"""The boxes of SAM3's DETR decoder in float32: position embedding, attention bias and refinement.

Half precision is too coarse for boxes: a coordinate of a 1280 pixel image has steps of 4 pixels, and every layer of the
decoder rounds again. The parameters stay in the decoder under their published names. `keep_float32` keeps them in
float32 while the rest of the network is in half precision, and `BoxPath` switches autocast off. The formulas are SAM3's
(DAB-DETR, Liu et al., 2022, for the embedding; box relative position bias, log scaled), with the steps that all
coordinates share done once.

Notation: P phrases, K queries, C SAM3's hidden size, F = C / 2 features of a coordinate, S = side * side positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers.models.sam3.modeling_sam3 import Sam3DetrDecoder, inverse_sigmoid

FLOAT32_MODULES = ('reference_points', 'ref_point_head', 'box_rpb_embed_x', 'box_rpb_embed_y', 'box_head')
"""Modules of the decoder that compute with boxes."""


def keep_float32(decoder: nn.Module) -> None:
    """Convert the parameters of `FLOAT32_MODULES` to float32."""
    for part in FLOAT32_MODULES:
        for module in getattr(decoder, part).modules():
            for name, parameter in module.named_parameters(recurse=False):
                in_float32 = nn.Parameter(parameter.detach().float(), requires_grad=parameter.requires_grad)
                setattr(module, name, in_float32)


class BoxPath:
    """The part of the decoder that computes with boxes.

    Args:
        decoder: SAM3's DETR decoder, which has the parameters.
    """

    def __init__(self, decoder: Sam3DetrDecoder) -> None:
        self._decoder = decoder

    def start(self, prompts: int, queries: int) -> Tensor:
        """Return the learned reference boxes, float32 [P, K, 4]: center x, center y, width, height, 0..1.

        If there are more queries than boxes, the boxes are repeated.
        """
        boxes: Tensor = self._decoder.reference_points.weight.float().sigmoid()
        if queries > len(boxes):
            boxes = boxes.repeat(queries // len(boxes), 1)
        return boxes.expand(prompts, -1, -1)

    def wave_lengths(self, device: torch.device) -> Tensor:
        """Return the wave lengths of the sines with which `embed` encodes a coordinate, float32 [F]."""
        encoding = self._decoder.position_encoding
        features = encoding.num_position_features
        step = torch.arange(features, dtype=torch.float32, device=device)
        lengths: Tensor = encoding.temperature ** (2 * torch.div(step, 2, rounding_mode='floor') / features)
        return lengths

    def embed(self, boxes_cxcywh: Tensor, wave_lengths: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the position embedding of the queries: sines of each coordinate at F wave lengths, through an MLP.

        Args:
            boxes_cxcywh: float32 [P, K, 4].
            wave_lengths: float32 [F].
            dtype: of the result.

        Returns:
            [P, K, C].
        """
        angles = (boxes_cxcywh * self._decoder.position_encoding.scale).unsqueeze(-1) / wave_lengths  # [P, K, 4, F]
        waves = torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(-2)  # [P, K, 4, F]
        x, y, width, height = waves.unbind(2)
        with _autocast_off(boxes_cxcywh):
            embedded: Tensor = self._decoder.ref_point_head(torch.cat((y, x, width, height), dim=-1))
        return embedded.to(dtype)

    def attention_bias(self, boxes_xyxy: Tensor, grid: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the attention bias of each position of a square feature map, from its distances to the box's edges.

        Args:
            boxes_xyxy: float32 [P, K, 4].
            grid: float32 [side], the coordinates of the map's rows, and of its columns.
            dtype: of the result.

        Returns:
            [P, heads, K, S].
        """
        # Both axes in the same operations; contiguous, because the MLPs take them apart again: [axis, P, K, edge]
        edges = boxes_xyxy.view(*boxes_xyxy.shape[:-1], 2, 2).permute(3, 0, 1, 2).contiguous()
        distance = (grid.unsqueeze(-1) - edges.unsqueeze(-2)) * 8  # [axis, P, K, side, edge]
        logarithmic = distance.sign() * torch.log2(distance.abs() + 1.0) / math.log2(8)
        with _autocast_off(boxes_xyxy):
            along_x = self._decoder.box_rpb_embed_x(logarithmic[0])  # [P, K, side, heads]
            along_y = self._decoder.box_rpb_embed_y(logarithmic[1])
        # Contiguous, so that one addition writes the map of each head in the layout of the attention kernels.
        # [P, heads, K, side]
        along_x, along_y = (along.permute(0, 3, 1, 2).contiguous() for along in (along_x, along_y))
        bias: Tensor = along_y.unsqueeze(-1) + along_x.unsqueeze(-2)  # [P, heads, K, side, side]
        return bias.flatten(-2).to(dtype)

    def refine(self, normalized_states: Tensor, boxes_cxcywh: Tensor) -> Tensor:
        """Refine boxes with the box head's output for the states [P, K, C]: float32 [P, K, 4]."""
        with _autocast_off(boxes_cxcywh):
            shift: Tensor = self._decoder.box_head(normalized_states.float())
        refined: Tensor = (shift + inverse_sigmoid(boxes_cxcywh)).sigmoid()
        return refined


def to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Convert boxes from center and size to corners, [..., 4]."""
    center, size = boxes_cxcywh.chunk(2, dim=-1)
    half = 0.5 * size
    return torch.cat((center - half, center + half), dim=-1)


def _autocast_off(tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)
