"""The adapter to SAM3: encode an image, encode a phrase, detect the instances of a prompt.

The modules and the names of their parameters are those of `transformers.Sam3Model`. The forward pass of the DETR
decoder is written here, because `transformers` has no queries from outside, no detection without the presence token,
and no boxes in float32 while the rest is in half precision.

Notation: B images, P prompts, K queries, L tokens of a prompt, C SAM3's hidden size, S = h_f * w_f positions of the
coarsest feature map, h w the mask grid; N = K, or 1 + K with the presence token in front.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Sam3Config, Sam3Model

from instructsam_model.sam3.boxes import BoxPath, keep_float32, to_xyxy
from instructsam_model.sam3.features import DecoderOutput, Detections, Prompt, VisionFeatures
from instructsam_model.sam3.layers import Adapters, decode_layer, decode_masks, encode_layer


class Sam3Detector(nn.Module):
    """SAM3's detector; `model` has the parameters.

    Args:
        config: of `transformers.Sam3Model`.
    """

    def __init__(self, config: Sam3Config) -> None:
        super().__init__()
        self.model = Sam3Model(config)
        self.boxes = BoxPath(self.model.detr_decoder)

    def set_dtype(self, dtype: torch.dtype) -> None:
        """Compute in another precision, all but the boxes, see `BoxPath`."""
        self.to(dtype)
        keep_float32(self.model.detr_decoder)

    def encode(self, pixel_values: Tensor) -> VisionFeatures:
        """Encode images [B, 3, side, side]."""
        encoder = self.model.vision_encoder
        states = encoder.backbone(pixel_values).last_hidden_state  # [B, S, C]
        side = math.isqrt(states.shape[1])
        maps = self.pyramid(states.unflatten(1, (side, side)).permute(0, 3, 1, 2))
        return VisionFeatures(maps, self.map_positions(maps[-1].shape, maps[-1].device, maps[-1].dtype))

    def pyramid(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return the feature pyramid over the image encoder's last states, [B, C, h, w]; finest first."""
        # The coarsest level of the neck is for SAM3's tracker; the detector works on those before it.
        return tuple(layer(states) for layer in self.model.vision_encoder.neck.fpn_layers[:-1])

    def map_positions(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return the position encoding of a feature map of a shape (B, C, h, w), of the same shape."""
        # Built in float32: in bfloat16 the positions themselves would be rounded, and with them every wave.
        encode = self.model.vision_encoder.neck.position_encoding
        positions: Tensor = encode(shape, device, torch.float32)
        return positions.to(dtype)

    def encode_text(self, token_ids: Tensor, token_mask: Tensor) -> Prompt:
        """Encode phrases: int64 [P, L] and bool [P, L], True on tokens; padding follows the tokens."""
        # The text encoder is causal, so padding behind the phrase does not change it; the prompt masks the padding.
        states = self.model.text_encoder(input_ids=token_ids).last_hidden_state
        return Prompt(self.model.text_projection(states), token_mask)

    def geometry_token(self, vision: VisionFeatures) -> Tensor:
        """Return the token [B, 1, C] that Meta appends to every prompt, of the geometry encoder without any box.

        `transformers` appends it only where there are boxes.
        """
        encoder = self.model.geometry_encoder
        token = encoder.cls_embed.weight.expand(len(vision.positions), 1, -1)
        token = encoder.prompt_layer_norm(encoder.final_proj(token))
        memory, positions = _as_rows(vision.maps[-1]), _as_rows(vision.positions)
        for layer in encoder.layers:
            token = layer(prompt_feats=token, vision_feats=memory, vision_pos_encoding=positions, prompt_mask=None)
        normalized: Tensor = encoder.output_layer_norm(token)
        return normalized

    def detect(
        self,
        vision: VisionFeatures,
        prompt: Prompt,
        queries: Tensor | None = None,
        *,
        has_presence: bool,
        adapters: Adapters | None = None,
    ) -> Detections:
        """Detect the instances of P prompts in one pass.

        Args:
            vision: features of P images (see `VisionFeatures.select`).
            prompt: P prompts.
            queries: content of the decoder queries, [P, K, C]; None for SAM3's own.
            has_presence: use the presence token, from which `presence_logits` follow.
            adapters: of a network that is built on SAM3.
        """
        text_bias = prompt.attention_bias()
        memory, decoded = self.decode(vision, prompt, text_bias, queries, has_presence=has_presence, adapters=adapters)
        states = decoded.output[-1]
        mask_logits, region_logits = self.decode_masks(states, vision, memory, prompt, text_bias, adapters)
        return Detections(
            mask_logits,
            self.score(states, prompt.features, prompt.mask),
            to_xyxy(torch.stack(decoded.boxes_cxcywh)),
            region_logits,
            states,
            memory,
            self.presence(decoded.presence[-1]) if has_presence else None,
        )

    def decode(
        self,
        vision: VisionFeatures,
        prompt: Prompt,
        text_bias: Tensor,
        queries: Tensor | None = None,
        *,
        has_presence: bool,
        adapters: Adapters | None = None,
        attending: int | None = None,
        looks_twice: bool = False,
    ) -> tuple[Tensor, DecoderOutput]:
        """Run the DETR encoder, whose output [P, S, C] is the memory, and the DETR decoder.

        Args:
            vision: features of P images.
            prompt: P prompts.
            text_bias: `prompt.attention_bias()`.
            queries: content of the decoder queries, [P, K, C]; None for SAM3's own. K is a multiple of the number of
                reference boxes, which are repeated.
            has_presence: use the presence token.
            adapters: of a network that is built on SAM3.
            attending: number of queries, from the first, that attend to each other and to the presence token, see
                `decode_layer`; None: all.
            looks_twice: the gradient of a box goes on through the box of the layer before, but not further (DINO, Zhang
                et al., 2023, "look forward twice"), as in Meta's training; the boxes are the same.
        """
        if queries is None:
            queries = self.model.detr_decoder.query_embed.weight.expand(len(prompt.mask), -1, -1)
        memory, positions = _as_rows(vision.maps[-1]), _as_rows(vision.positions)
        for index, layer in enumerate(self.model.detr_encoder.layers):
            adapt = adapters.encoder[index] if adapters is not None else None
            memory = encode_layer(layer, memory, positions, prompt.features, text_bias, adapt)
        rows = None if attending is None else attending + int(has_presence)
        return memory, self._decode(
            queries, memory, positions, prompt.features, text_bias, has_presence, adapters, rows, looks_twice
        )

    def decode_masks(
        self,
        states: Tensor,
        vision: VisionFeatures,
        memory: Tensor,
        prompt: Prompt,
        text_bias: Tensor,
        adapters: Adapters | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits of the queries' states, and those of the region of all instances, see `decode_masks`."""
        head = self.model.mask_decoder
        embedder = head.mask_embedder if adapters is None else adapters.mask_embedder
        return decode_masks(head, embedder, states, vision.maps, memory, prompt.features, text_bias)

    def score(self, states: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Tensor:
        """Score queries [P, K, C], or positions [P, S, C], against prompts [P, L, C]: logits [P, K or S]."""
        logits: Tensor = self.model.dot_product_scoring(states.unsqueeze(0), phrases, phrase_mask)
        return logits[0, ..., 0]

    def presence(self, states: Tensor) -> Tensor:
        """Return the presence logits [P, 1] of the states of the presence token, [P, 1, C]."""
        decoder = self.model.detr_decoder
        limit = decoder.clamp_presence_logit_max_val
        logits: Tensor = decoder.presence_head(decoder.presence_layer_norm(states)).squeeze(-1)
        return logits.clamp(min=-limit, max=limit)

    def _decode(
        self,
        states: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        phrases: Tensor,
        text_bias: Tensor,
        has_presence: bool,
        adapters: Adapters | None,
        attending: int | None,
        looks_twice: bool,
    ) -> DecoderOutput:
        """Run the DETR decoder for queries [P, K, C]."""
        decoder = self.model.detr_decoder
        side = math.isqrt(memory.shape[1])
        located_memory = memory + memory_positions  # keys of the attention to the image, the same in every layer
        # Tables with which the boxes of every layer are encoded, float32.
        wave_lengths = self.boxes.wave_lengths(states.device)
        grid = torch.arange(side, dtype=torch.float32, device=states.device) / side
        boxes = self.boxes.start(*states.shape[:2])
        first = int(has_presence)  # row of the first query
        if has_presence:
            states = torch.cat([decoder.presence_token.weight.expand(len(states), 1, -1), states], dim=1)  # [P, N, C]
        presence, outputs = [], []
        refined_boxes: list[Tensor] = []
        for index, layer in enumerate(decoder.layers):
            positions = self.boxes.embed(boxes, wave_lengths, states.dtype)  # [P, K, C]
            box_bias = self.boxes.attention_bias(to_xyxy(boxes), grid, states.dtype)  # [P, heads, K, S]
            if has_presence:  # the presence token has no box: it attends to all positions alike
                positions, box_bias = F.pad(positions, (0, 0, 1, 0)), F.pad(box_bias, (0, 0, 1, 0))
            adapt = adapters.decoder[index] if adapters is not None else None
            states = decode_layer(
                layer, states, positions, memory, located_memory, box_bias, phrases, text_bias, adapt, attending
            )
            presence.append(states[:, :first])
            outputs.append(decoder.output_layer_norm(states[:, first:]))
            start = refined_boxes[-1] if looks_twice and refined_boxes else boxes
            refined_boxes.append(self.boxes.refine(outputs[-1], start))
            boxes = refined_boxes[-1].detach()  # the next layer attends without a gradient through earlier boxes
        return DecoderOutput(tuple(presence), tuple(outputs), tuple(refined_boxes))


def _as_rows(feature_map: Tensor) -> Tensor:
    """[P, C, h_f, w_f] -> [P, S, C]."""
    return feature_map.flatten(2).mT
