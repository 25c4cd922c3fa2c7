"""SAM3's detector, driven by the language model's queries instead of its own, and without a presence token.

The modules are those of `transformers`, and so are their parameter names. What is ours is the way through the decoder:
its layers in `transformers` prepend a presence token, which the published model does not have; there a slot's score is
its dot product with the phrase alone.

Notation: P phrases, K queries, L phrase tokens, C SAM3's hidden size, S = h_f * w_f positions of the feature map,
h w the mask grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import Sam3Config, Sam3Model
from transformers.models.sam3.modeling_sam3 import Sam3DetrDecoderLayer

from instructsam_model.sam3.boxes import BoxPath, to_xyxy


@dataclass(frozen=True)
class VisionFeatures:
    """What SAM3's image encoder made of B pictures.

    Attributes:
        maps: feature pyramid, finest first: [B, C, h, w], ..., [B, C, h_f, w_f].
        positions: position encoding of the coarsest map, [B, C, h_f, w_f].
    """

    maps: tuple[Tensor, ...]
    positions: Tensor

    def select(self, index: Tensor) -> VisionFeatures:
        """The features of picture `index[p]` for each phrase p; index int64 [P]."""
        if self.positions.shape[0] == 1:  # one picture for all phrases: a view instead of P copies
            count = index.shape[0]
            return VisionFeatures(
                tuple(each.expand(count, -1, -1, -1) for each in self.maps), self.positions.expand(count, -1, -1, -1)
            )
        return VisionFeatures(tuple(each[index] for each in self.maps), self.positions[index])


@dataclass(frozen=True)
class Detections:
    """What SAM3 answers for each slot.

    Attributes:
        mask_logits: [P, K, h, w].
        score_logits: [P, K].
        refined_xyxy: boxes after each layer of the decoder, [layers, P, K, 4], relative to the picture, 0..1.
        region_logits: [P, h, w], everything that the phrase means, instances not told apart; not used at inference.
        states: of the slots after the decoder's last layer, [P, K, C]: what is scored.
        memory: what the slots look at, the encoder's output, [P, S, C].
    """

    mask_logits: Tensor
    score_logits: Tensor
    refined_xyxy: Tensor
    region_logits: Tensor
    states: Tensor
    memory: Tensor

    def select(self, index: Tensor, score_logits: Tensor) -> Detections:
        """The slots of phrase `index[p]` for each phrase p, with scores [P, K] of its own; index int64 [P]."""
        return Detections(
            self.mask_logits[index],
            score_logits,
            self.refined_xyxy[:, index],
            self.region_logits[index],
            self.states[index],
            self.memory[index],
        )


class PointwiseConv(nn.Module):
    """SAM3's own convolution of single pixels, as one matrix product: on a CPU three times as fast."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, maps: Tensor) -> Tensor:
        """Project maps [P, C, h, w]."""
        assert self.bias is not None
        projected = self.weight.flatten(1) @ maps.flatten(2) + self.bias.unsqueeze(1)
        return projected.view(len(maps), len(self.weight), *maps.shape[2:])


class Sam3Detector(nn.Module):
    """The `grounding_model` of the checkpoint: SAM3's detector less text encoder, presence token and presence head.

    Attributes:
        checkpointing: in training, compute the detector's activations again in the backward pass, to save memory.
    """

    def __init__(self, config: Sam3Config) -> None:
        super().__init__()
        self.checkpointing = False
        self.model = Sam3Model(config)
        del self.model.text_encoder
        decoder = self.model.detr_decoder
        del decoder.presence_token, decoder.presence_head, decoder.presence_layer_norm
        self.boxes = BoxPath(decoder)
        masks = self.model.mask_decoder
        masks.instance_projection = PointwiseConv(masks.instance_projection)
        masks.semantic_projection = PointwiseConv(masks.semantic_projection)

    def encode(self, pixel_values: Tensor) -> VisionFeatures:
        """Encode pictures [B, 3, S, S]."""
        encoder = self.model.vision_encoder
        states = encoder.backbone(pixel_values).last_hidden_state  # [B, S, C]
        side = math.isqrt(states.shape[1])
        maps = self.pyramid(states.unflatten(1, (side, side)).permute(0, 3, 1, 2))
        return VisionFeatures(maps, self.map_positions(maps[-1].shape, maps[-1].device, maps[-1].dtype))

    def pyramid(self, states: Tensor) -> tuple[Tensor, ...]:
        """The feature pyramid over what the image encoder's transformer gives, [B, C, h, w]; finest first."""
        # The coarsest level of the neck is for SAM3's tracker; the detector works on those before it.
        return tuple(layer(states) for layer in self.model.vision_encoder.neck.fpn_layers[:-1])

    def map_positions(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Position encoding of a feature map of a shape (B, C, h, w), likewise."""
        # Built in float32: in bfloat16 the positions themselves would be rounded, and with them every wave.
        encode = self.model.vision_encoder.neck.position_encoding
        positions: Tensor = encode(shape, device, torch.float32)
        return positions.to(dtype)

    def forward(self, vision: VisionFeatures, queries: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Detections:
        """Decode the slots of P phrases in one pass.

        Args:
            vision: features of P pictures (see `VisionFeatures.select`).
            queries: content of the decoder queries, [P, K, C].
            phrases: text condition, [P, L, C].
            phrase_mask: bool [P, L], True on tokens, at least one per phrase.
        """
        inputs = (vision, queries, phrases, phrase_mask)
        if not (self.checkpointing and torch.is_grad_enabled()):
            return self._detect(*inputs)
        detections: Detections = checkpoint(self._detect, *inputs, use_reentrant=False)
        return detections

    def _detect(self, vision: VisionFeatures, queries: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Detections:
        """DETR encoder, DETR decoder, scores and masks."""
        # Additive and made once: a boolean mask would be converted again by every attention. [P, 1, 1, L]
        text_bias = torch.zeros_like(phrase_mask, dtype=phrases.dtype).masked_fill(~phrase_mask, -torch.inf)
        text_bias = text_bias[:, None, None]
        # The coarsest map and its positions as rows, [P, S, C].
        memory, positions = vision.maps[-1].flatten(2).mT, vision.positions.flatten(2).mT
        for layer in self.model.detr_encoder.layers:
            memory = layer(memory, phrases, positions, prompt_cross_attn_mask=text_bias)
        states, refined_xyxy = self._decode(queries, memory, positions, phrases, text_bias)
        masks = self.model.mask_decoder(
            decoder_queries=states,
            backbone_features=list(vision.maps),
            encoder_hidden_states=memory,
            prompt_features=phrases,
            prompt_mask=text_bias,
        )
        scores = self.score(states, phrases, phrase_mask)
        return Detections(masks.pred_masks, scores, refined_xyxy, masks.semantic_seg[:, 0], states, memory)

    def score(self, states: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Tensor:
        """How well slots [P, K, C], or places [P, S, C], fit the phrases [P, L, C]: logits [P, K or S]."""
        logits: Tensor = self.model.dot_product_scoring(states.unsqueeze(0), phrases, phrase_mask)
        return logits[0, ..., 0]

    def _decode(
        self, states: Tensor, memory: Tensor, memory_positions: Tensor, phrases: Tensor, text_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the DETR decoder: states after its last layer [P, K, C], and boxes after each [layers, P, K, 4]."""
        decoder = self.model.detr_decoder
        side = math.isqrt(memory.shape[1])
        located_memory = memory + memory_positions  # the keys of every layer's look at the image
        # What the boxes of every layer are measured with, float32.
        wave_lengths = self.boxes.wave_lengths(states.device)
        grid = torch.arange(side, dtype=torch.float32, device=states.device) / side
        boxes = self.boxes.start(states.shape[0])
        corners = to_xyxy(boxes)
        output = states
        refined_xyxy = []
        for layer in decoder.layers:
            positions = self.boxes.embed(boxes, wave_lengths, states.dtype)
            box_bias = self.boxes.attention_bias(corners.detach(), grid, states.dtype)  # [P, heads, K, S]
            states = decode_layer(layer, states, positions, memory, located_memory, box_bias, phrases, text_bias)
            output = decoder.output_layer_norm(states)
            refined = self.boxes.refine(output, boxes)
            corners = to_xyxy(refined)
            refined_xyxy.append(corners)
            boxes = refined.detach()  # each layer refines on its own: no gradient through the boxes before it
        return output, torch.stack(refined_xyxy)


def decode_layer(
    layer: Sam3DetrDecoderLayer,
    states: Tensor,
    positions: Tensor,
    memory: Tensor,
    located_memory: Tensor,
    box_bias: Tensor,
    phrases: Tensor,
    text_bias: Tensor,
) -> Tensor:
    """One layer of SAM3's DETR decoder for queries alone, [P, K, C]; each step is attend, add, normalize."""
    located = states + positions
    attended, _ = layer.self_attn(located, located, states)
    states = layer.self_attn_layer_norm(states + layer.self_attn_dropout(attended))

    attended, _ = layer.text_cross_attn(states + positions, phrases, phrases, attention_mask=text_bias)
    states = layer.text_cross_attn_layer_norm(states + layer.text_cross_attn_dropout(attended))

    attended, _ = layer.vision_cross_attn(states + positions, located_memory, memory, attention_mask=box_bias)
    states = layer.vision_cross_attn_layer_norm(states + layer.vision_cross_attn_dropout(attended))

    decoded: Tensor = layer.mlp_layer_norm(states + layer.mlp_dropout(layer.mlp(states)))
    return decoded


def no_detections(queries: Tensor, memory: Tensor, mask_grid: tuple[int, int]) -> Detections:
    """What there is where the detector is not asked: queries [P, K, C] of which P or K is 0, memory [P, S, C]."""
    phrases, slots, _ = queries.shape
    return Detections(
        queries.new_zeros(phrases, slots, *mask_grid),
        queries.new_zeros(phrases, slots),
        queries.new_zeros(1, phrases, slots, 4),
        queries.new_zeros(phrases, *mask_grid),
        queries,
        memory,
    )
