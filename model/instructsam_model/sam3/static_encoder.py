"""SAM3's image encoder with layers made for inference; the parameters are those of `transformers`' module.

Most layers attend within windows of the feature map. `transformers` cuts the input of each of them into windows and
puts the output together again. Here the tokens are sorted by window once, before the first layer, and back once, after
the last; only the rotary tables of the layers with global attention have to follow that order.

Notation: B images, S tokens of W windows, C width, H heads, E features of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.models.sam3.modeling_sam3 import Sam3ViTLayer

from instructsam_model.errors import CheckpointError
from instructsam_model.runtime.compilation import Compile
from instructsam_model.runtime.fused import PackedLinear, Rotation, attend, split_heads
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import VisionFeatures


class Sam3Encoder:
    """Encodes images with the parameters of a detector.

    Args:
        detector: has the parameters; those of queries, keys and values are packed in place.
        compile_: compiles each layer.
    """

    def __init__(self, detector: Sam3Detector, compile_: Compile) -> None:
        self._detector = detector
        backbone = detector.model.vision_encoder.backbone
        self._embeddings, self._layer_norm = backbone.embeddings, backbone.layer_norm
        config = backbone.config
        self._side = config.image_size // config.patch_size  # tokens along an edge of the map
        # Without windows, or with one that is the whole map, there is nothing to reorder.
        self._window = config.window_size or self._side
        if self._side % self._window:
            raise CheckpointError(
                f'image_size of SAM3: expected whole windows of {self._window} tokens, got {self._side} tokens a side'
            )
        rotations: dict[int, Rotation] = {}
        self._layers = []
        for layer in backbone.layers:
            if layer.window_size not in rotations:
                rotations[layer.window_size] = self._rotation(layer)
            self._layers.append(compile_(Sam3Layer(layer, rotations[layer.window_size])))
        neck = detector.model.vision_encoder.neck
        weight, side = neck.fpn_layers[-2].proj2.weight, int(self._side * neck.config.scale_factors[-2])
        self._positions = detector.map_positions(torch.Size((1, len(weight), side, side)), weight.device, weight.dtype)

    def __call__(self, pixel_values: Tensor) -> VisionFeatures:
        """Encode images [B, 3, side, side]."""
        states = self._embeddings(pixel_values)  # [B, S, C]
        states = self._layer_norm(self._to_windows(states))  # [B, W, S / W, C]
        for layer in self._layers:
            states = layer(states)
        maps = self._detector.pyramid(self._from_windows(states).permute(0, 3, 1, 2))
        return VisionFeatures(maps, self._positions)

    def _rotation(self, layer: Sam3ViTLayer) -> Rotation:
        """Return the rotary tables of a layer; for global attention, of all tokens in the order of windows."""
        cos, sin = (table[0].float() for table in layer.rotary_emb(layer.position_ids.float(), layer.position_ids))
        if not layer.window_size:
            cos, sin = (self._to_windows(table[None])[0].flatten(0, 1) for table in (cos, sin))
        return Rotation.of_angles(cos, sin, pair_dim=-1)

    def _to_windows(self, rows: Tensor) -> Tensor:
        """Sort tokens by window: [B, S, C], row by row of the map -> [B, W, S / W, C]."""
        count, window = self._side // self._window, self._window
        grid = rows.reshape(len(rows), count, window, count, window, rows.shape[-1]).transpose(2, 3)
        return grid.flatten(3, 4).flatten(1, 2)

    def _from_windows(self, windows: Tensor) -> Tensor:
        """Undo `_to_windows`: [B, W, S / W, C] -> [B, side, side, C]."""
        count, window = self._side // self._window, self._window
        grid = windows.view(len(windows), count, count, window, window, windows.shape[-1]).transpose(2, 3)
        return grid.flatten(3, 4).flatten(1, 2)


class Sam3Layer(nn.Module):
    """One layer of the encoder, for tokens sorted by window, [B, W, S / W, C].

    Args:
        layer: has the parameters.
        rotation: rotary embedding of its tokens.
    """

    def __init__(self, layer: Sam3ViTLayer, rotation: Rotation) -> None:
        super().__init__()
        attention = layer.attention
        self._norm1, self._norm2, self._mlp, self._out = (
            layer.layer_norm1,
            layer.layer_norm2,
            layer.mlp,
            attention.o_proj,
        )
        self._qkv = PackedLinear([attention.q_proj, attention.k_proj, attention.v_proj])
        self._heads, self._scale = attention.num_attention_heads, attention.scaling
        self._is_windowed = layer.window_size > 0
        self._rotation = rotation

    def forward(self, states: Tensor) -> Tensor:
        """Attend within each window, or globally; then the MLP."""
        shape = states.shape
        if not self._is_windowed:
            states = states.flatten(1, 2).unsqueeze(1)  # one window
        qkv = split_heads(self._qkv(self._norm1(states)), 3 * self._heads)  # [B, W, S / W, 3 H, E]
        query, key = self._rotation(qkv[..., : 2 * self._heads, :]).chunk(2, dim=-2)
        value = qkv[..., 2 * self._heads :, :]
        # Kernels of attention take four dimensions, so that windows become part of the batch: [B * W, H, S / W, E].
        attended = attend(*(each.flatten(0, 1) for each in (query, key, value)), scale=self._scale)
        states = states + self._out(attended).view_as(states)
        states = states + self._mlp(self._norm2(states))
        return states.view(shape)
