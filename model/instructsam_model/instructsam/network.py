"""The network: Qwen3-VL reads, K queries after each phrase become instance slots, SAM3 segment_ids them into masks.

Qwen3-VL and SAM3 are `transformers`' own modules. Parameter names and shapes are those of the published checkpoint.

Notation: B pictures, T tokens, P phrases (over all pictures), K queries, L phrase tokens, D the language model's hidden
size, C SAM3's hidden size, S side of SAM3's input, h w the mask grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import Qwen3VLModel

from instructsam_model.instructsam.attention import hybrid_attention_mask
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.inputs import ModelInputs, Pixels
from instructsam_model.instructsam.layout import Layout, SharedSlots, lay_out, share_slots
from instructsam_model.instructsam.qwen3vl import LanguageModel, PatchEmbedding
from instructsam_model.instructsam.vision_inputs import compute_vision_inputs
from instructsam_model.sam3.boxes import keep_float32
from instructsam_model.sam3.detector import Detections, Sam3Detector, VisionFeatures, no_detections


@dataclass(frozen=True)
class Prediction:
    """The slots of P phrases.

    Attributes:
        mask_logits: [P, K, h, w].
        score_logits: [P, K].
        refined_xyxy: boxes after each layer of SAM3's decoder, [layers, P, K, 4], relative to the picture, 0..1.
        query_states: [P, K, D], the language model's output at the queries.
        query_embeds: [P, K, C], the same projected: content of SAM3's decoder queries.
        phrase_embeds: [P, L, C], the projected phrases, 0 on padding: SAM3's text condition.
        semantic_logits: [P, h, w], everything that a phrase means, instances not told apart; for pretraining SAM3.
        phrases: the P phrases, as text.
        answer: the text that the model wrote, empty when it was given.
        answer_logits: of the next token wherever `ModelInputs.logit_mask` asks for it, [N, vocabulary]; else None.
        location_logits: how well each place of SAM3's feature map fits the phrase, [P, h_f, w_f]; for pretraining SAM3,
            else None.
    """

    mask_logits: Tensor
    score_logits: Tensor
    refined_xyxy: Tensor
    query_states: Tensor
    query_embeds: Tensor
    phrase_embeds: Tensor
    semantic_logits: Tensor
    phrases: tuple[str, ...] = ()
    answer: str = ''
    answer_logits: Tensor | None = None
    location_logits: Tensor | None = None

    def copy(self, count: int) -> Prediction:
        """The first so many phrases, in memory of their own."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        kept = {
            name: (value[:, :count] if name == 'refined_xyxy' else value[:count]).clone()
            for name, value in tensors.items()
        }
        return replace(self, **kept)  # type: ignore[arg-type]  # tensors by name

    @property
    def scores(self) -> Tensor:
        """Confidence of each slot, [P, K], 0..1."""
        return self.score_logits.sigmoid()

    @property
    def box_xyxy(self) -> Tensor:
        """Box of each slot, [P, K, 4], relative to the picture, 0..1."""
        return self.refined_xyxy[-1]


class InstructSAMModel(Qwen3VLModel):  # type: ignore[misc]  # transformers is untyped for us
    """Qwen3-VL with what the paper adds: the query bank, the two projections and SAM3's detector."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.qwen)
        self.visual.patch_embed = PatchEmbedding(config.qwen.vision_config)
        self.language_model.__class__ = LanguageModel  # only a method differs: nothing to build again
        hidden = config.qwen.text_config.hidden_size
        self.grounding_model = Sam3Detector(config.sam3)
        # The rows start equal; only their positions tell them apart at first.
        self.mask_queries = nn.Parameter(torch.zeros(config.num_queries, hidden))
        self.mask_hidden_fcs = nn.ModuleList([projection(hidden, config.out_dim)])
        self.text_hidden_fcs = nn.ModuleList([projection(hidden, config.out_dim)])


class InstructSAM(nn.Module):
    """The whole network; `state_dict` has the published names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = InstructSAMModel(config)
        text = config.qwen.text_config
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Let the head use the token embedding, if the checkpoint says so; again whenever parameters were replaced."""
        if self.config.qwen.tie_word_embeddings:
            self.lm_head.weight = self.model.language_model.embed_tokens.weight

    def set_dtype(self, dtype: torch.dtype) -> None:
        """Compute in another precision, all but the boxes of the detector, see `BoxPath`."""
        self.to(dtype)
        keep_float32(self.model.grounding_model.model.detr_decoder)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.model.mask_queries.device

    @property
    def dtype(self) -> torch.dtype:
        """What the parameters are."""
        return self.model.mask_queries.dtype

    @property
    def mask_grid(self) -> tuple[int, int]:
        """H and w of the mask logits."""
        vision = self.config.sam3.vision_config
        patches = vision.backbone_config.image_size // vision.backbone_config.patch_size
        side = int(patches * max(vision.scale_factors))
        return side, side

    def forward(self, inputs: ModelInputs) -> Prediction:
        """One teacher-forced pass over whole conversations, as in training (paper section 3.2)."""
        bank = self.model.mask_queries
        query_states = bank.expand(len(inputs.phrase_ids), *bank.shape)
        if inputs.reads:
            layout = inputs.layout or self.lay_out(inputs)
            states = self.read(inputs, layout).flatten(0, 1)
            query_states = states.index_select(0, layout.query_rows).view(-1, *bank.shape)
        features = None
        if len(inputs.phrase_ids):  # SAM3 need not see a picture that is only talked about
            features = self.model.grounding_model.encode(inputs.pixels.normalized_sam3()).select(inputs.phrase_owner)
        slots = (inputs.slots or share_slots(inputs.phrase_owner)) if inputs.shared else None
        prediction = self.ground(
            features, query_states, inputs.phrase_ids, inputs.phrase_mask, slots, detects=inputs.detects, places=True
        )
        if not inputs.reads or inputs.logit_mask is None:
            return prediction
        return replace(prediction, answer_logits=self.lm_head(states.index_select(0, layout.logit_rows)))

    def lay_out(self, inputs: ModelInputs) -> Layout:
        """Find where what stands in conversations, where nobody has yet."""
        return lay_out(
            inputs.input_ids,
            inputs.attention_mask,
            inputs.pixels.grid_thw,
            self.config,
            logit_mask=inputs.logit_mask,
            segment_ids=inputs.segment_ids,
        )

    def read(self, inputs: ModelInputs, layout: Layout) -> Tensor:
        """The language model's states [B, T, D] after its final norm, under hybrid attention and M-RoPE positions."""
        variant = self.config.variant
        is_query = inputs.input_ids == self.config.tokens.query
        image_embeds, deepstack = self.encode_image(inputs.pixels)
        embeds = self.model.language_model.embed_tokens(inputs.input_ids)
        rows = embeds.flatten(0, 1).index_copy(0, layout.image_rows, image_embeds.to(embeds.dtype))
        if variant.query_bank:
            bank = self.model.mask_queries.repeat(len(layout.query_rows) // self.config.num_queries, 1)
            rows = rows.index_copy(0, layout.query_rows, bank.to(embeds.dtype))
        states: Tensor = self.model.language_model(
            inputs_embeds=rows.view_as(embeds),
            attention_mask=hybrid_attention_mask(
                is_query & variant.hybrid_attention, inputs.attention_mask, inputs.segment_ids
            ),
            position_ids=layout.positions,
            visual_pos_masks=layout.image_rows,
            deepstack_visual_embeds=deepstack,
            use_cache=False,
        ).last_hidden_state
        return states

    def encode_image(self, pixels: Pixels) -> tuple[Tensor, list[Tensor]]:
        """Qwen3-VL's image tokens [N, D] and those for its first layers (DeepStack), in the order of the pictures."""
        given = pixels.vision_inputs
        if given is None:
            given = compute_vision_inputs(pixels.grid_thw, self.config.qwen.vision_config).to(pixels.qwen.device)
        output = self.model.visual(pixels.normalized_qwen().to(self.dtype), grid_thw=pixels.grid_thw, **vars(given))
        return output.pooler_output, output.deepstack_features

    def ground(
        self,
        vision: VisionFeatures | None,
        query_states: Tensor,
        phrase_ids: Tensor,
        phrase_mask: Tensor,
        slots: SharedSlots | None = None,
        *,
        detects: bool = True,
        places: bool = False,
    ) -> Prediction:
        """Turn query states into masks, scores and boxes with one pass of SAM3's detector (paper section 3.3).

        Args:
            vision: features of P pictures; None will do where there are no phrases.
            query_states: [P, K, D].
            phrase_ids: int64 [P, L].
            phrase_mask: bool [P, L].
            slots: which phrases share theirs; None: none do.
            detects: False for no slots.
            places: score the places of the feature map too.
        """
        variant = self.config.variant
        queries = self.model.mask_hidden_fcs[0](query_states)
        if not variant.conditioned_queries:
            queries = self.model.grounding_model.model.detr_decoder.query_embed.weight.expand_as(queries)
        if not variant.phrase_condition:
            phrase_ids = torch.full_like(phrase_ids, self.config.tokens.query)
            phrase_mask = (torch.arange(phrase_mask.shape[1], device=phrase_mask.device) == 0).expand_as(phrase_mask)
        # The condition is the phrase's token embeddings, not its hidden states; padded after projection.
        phrases = self.model.text_hidden_fcs[0](self.model.language_model.embed_tokens(phrase_ids))
        phrases = phrases * phrase_mask.unsqueeze(-1)
        if vision is None or not query_states.shape[0]:
            detections = no_detections(queries[:0], queries[:0, :0], self.mask_grid)
        elif detects:
            detections = self._detect(vision, queries, phrases, phrase_mask, slots)
        else:
            detections = no_detections(queries[:, :0], vision.maps[-1].flatten(2).mT, self.mask_grid)
        return Prediction(
            mask_logits=detections.mask_logits,
            score_logits=detections.score_logits,
            refined_xyxy=detections.refined_xyxy,
            query_states=query_states,
            query_embeds=queries,
            phrase_embeds=phrases,
            semantic_logits=detections.region_logits,
            location_logits=self._score_places(detections.memory, phrases, phrase_mask) if places else None,
        )

    def ground_nothing(self) -> Prediction:
        """What there is to an answer without a phrase: no slots."""
        bank, width = self.model.mask_queries, self.config.out_dim
        detections = no_detections(bank.new_zeros(0, len(bank), width), bank.new_zeros(0, 0, width), self.mask_grid)
        return Prediction(
            mask_logits=detections.mask_logits,
            score_logits=detections.score_logits,
            refined_xyxy=detections.refined_xyxy,
            query_states=bank.new_zeros(0, *bank.shape),
            query_embeds=detections.states,
            phrase_embeds=bank.new_zeros(0, 0, width),
            semantic_logits=detections.region_logits,
        )

    def _detect(
        self, vision: VisionFeatures, queries: Tensor, phrases: Tensor, phrase_mask: Tensor, slots: SharedSlots | None
    ) -> Detections:
        grounding: Sam3Detector = self.model.grounding_model
        detections: Detections
        if slots is None:
            detections = grounding(vision, queries, phrases, phrase_mask)
            return detections
        first, index = slots.first, slots.index
        detections = grounding(vision.select(first), queries[first], phrases[first], phrase_mask[first])
        return detections.select(index, grounding.score(detections.states[index], phrases, phrase_mask))

    def _score_places(self, memory: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Tensor:
        grounding: Sam3Detector = self.model.grounding_model
        side = math.isqrt(memory.shape[1])
        return grounding.score(memory, phrases, phrase_mask).view(len(memory), side, side)


def projection(hidden: int, out_dim: int) -> nn.Sequential:
    """From the language model's width to SAM3's; the indices 0 and 2 are part of the published names."""
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_dim))
