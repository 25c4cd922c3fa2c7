"""The network: the states of K queries after each phrase in Qwen3-VL's answer become SAM3's decoder queries.

Qwen3-VL and SAM3 are `transformers`' own modules. Parameter names and shapes are those of the published checkpoint.

Notation: B images, T tokens, P phrases (over all images), K queries, L phrase tokens, N tokens with logits, D the
language model's hidden size, C SAM3's hidden size, h_f w_f SAM3's coarsest feature map.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import Qwen3VLModel

from instructsam_model.instructsam.attention import hybrid_attention_mask
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.detector import QueryDetector, no_detections
from instructsam_model.instructsam.inputs import AnyInputs, DenseInputs, DetectorInputs, ModelInputs, Pixels, TextInputs
from instructsam_model.instructsam.layout import Layout, QuerySharing, lay_out
from instructsam_model.instructsam.prediction import Prediction, make_prediction
from instructsam_model.instructsam.pretrained import Pretrained
from instructsam_model.instructsam.qwen3vl import LanguageModel, PatchEmbedding
from instructsam_model.instructsam.variant import DUMMY_TOKEN
from instructsam_model.instructsam.vision_inputs import compute_vision_inputs
from instructsam_model.sam3.boxes import keep_float32
from instructsam_model.sam3.features import Detections, VisionFeatures


class InstructSAMModel(Qwen3VLModel):  # type: ignore[misc]  # transformers is untyped for us
    """Qwen3-VL with what the paper adds: the query bank, the two projections and SAM3's detector."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.qwen)
        self.visual.patch_embed = PatchEmbedding(config.qwen.vision_config)
        self.language_model.__class__ = LanguageModel  # only a method differs, so nothing has to be rebuilt
        hidden = config.qwen.text_config.hidden_size
        self.grounding_model = QueryDetector(config.sam3)
        # The rows start equal; only their positions tell them apart at first.
        self.mask_queries = nn.Parameter(torch.zeros(config.num_queries, hidden))
        self.mask_hidden_fcs = nn.ModuleList([projection(hidden, config.out_dim)])
        self.text_hidden_fcs = nn.ModuleList([projection(hidden, config.out_dim)])


class InstructSAM(Pretrained, nn.Module):
    """The whole network; `state_dict` has the published names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = InstructSAMModel(config)
        text = config.qwen.text_config
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Share the token embedding with the head if the checkpoint does; call it again after replacing parameters."""
        if self.config.qwen.tie_word_embeddings:
            self.lm_head.weight = self.model.language_model.embed_tokens.weight

    def set_dtype(self, dtype: torch.dtype) -> None:
        """Convert the parameters to another precision, except those of the detector's boxes, see `BoxPath`."""
        self.to(dtype)
        keep_float32(self.model.grounding_model.model.detr_decoder)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.model.mask_queries.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters."""
        return self.model.mask_queries.dtype

    @property
    def mask_grid(self) -> tuple[int, int]:
        """Height and width of the mask logits."""
        vision = self.config.sam3.vision_config
        patches = vision.backbone_config.image_size // vision.backbone_config.patch_size
        side = int(patches * max(vision.scale_factors))
        return side, side

    def forward(self, inputs: AnyInputs) -> Prediction:
        """Run the training pass for these inputs.

        DDP and FSDP intercept `forward` alone, so every pass of training starts here; the inputs' type selects it.
        """
        if isinstance(inputs, DenseInputs):
            return self.forward_dense(inputs)
        if isinstance(inputs, DetectorInputs):
            return self.forward_detector(inputs)
        if isinstance(inputs, TextInputs):
            return self.forward_text(inputs)
        return self.forward_full(inputs)

    def forward_full(self, inputs: ModelInputs) -> Prediction:
        """One teacher-forced pass of the whole network over conversations (paper section 3)."""
        bank, layout = self.model.mask_queries, inputs.layout or self.lay_out(inputs)
        # The language model's states at the queries: [B * T, D] -> [P, K, D]
        states = self.run_language_model(inputs, layout).flatten(0, 1)
        query_states = states.index_select(0, layout.query_rows).view(-1, *bank.shape)
        queries = self.project_queries(query_states)
        phrases, phrase_mask = self.embed_phrases(
            inputs.phrase_ids, inputs.phrase_mask, condition=self.config.variant.phrase_condition
        )
        # SAM3 turns each query into a mask, a score and boxes.
        vision = self.encode_phrase_images(inputs.pixels, inputs.phrase_owner)
        detections = self.detect(vision, queries, phrases, phrase_mask)
        prediction = make_prediction(detections, query_states, queries, phrases)
        return replace(
            prediction,
            answer_logits=self._next_token_logits(states, layout) if inputs.logit_mask is not None else None,
            location_logits=self.score_locations(detections.memory, phrases, phrase_mask),
        )

    def forward_text(self, inputs: TextInputs) -> Prediction:
        """The language model alone, for the logits of the text; there are no phrases and no queries."""
        layout = inputs.layout or self.lay_out(inputs)
        states = self.run_language_model(inputs, layout).flatten(0, 1)  # [B * T, D]
        return replace(self.empty_prediction(), answer_logits=self._next_token_logits(states, layout))

    def forward_detector(self, inputs: DetectorInputs) -> Prediction:
        """SAM3 alone with its own queries, conditioned on the phrases whatever the variant, as it is pretrained."""
        queries = self.own_queries(len(inputs.phrase_ids))
        phrases, phrase_mask = self.embed_phrases(inputs.phrase_ids, inputs.phrase_mask, condition=True)
        vision = self.encode_phrase_images(inputs.pixels, inputs.phrase_owner)
        if inputs.sharing is None or vision is None:
            detections = self.detect(vision, queries, phrases, phrase_mask)
        else:
            detections = self.detect_shared(vision, queries, phrases, phrase_mask, inputs.sharing)
        location_logits = self.score_locations(detections.memory, phrases, phrase_mask)
        prediction = make_prediction(detections, queries[..., :0], queries, phrases)
        return replace(prediction, location_logits=location_logits)

    def forward_dense(self, inputs: DenseInputs) -> Prediction:
        """SAM3's image encoder alone, its feature map scored for the phrases; there are no queries, K is 0."""
        queries = self.own_queries(len(inputs.phrase_ids))[:, :0]
        phrases, phrase_mask = self.embed_phrases(inputs.phrase_ids, inputs.phrase_mask, condition=True)
        vision = self.encode_phrase_images(inputs.pixels, inputs.phrase_owner)
        # The coarsest feature map as rows, [P, h_f * w_f, C].
        memory = queries if vision is None else vision.maps[-1].flatten(2).mT
        prediction = make_prediction(no_detections(queries, memory, self.mask_grid), queries[..., :0], queries, phrases)
        return replace(prediction, location_logits=self.score_locations(memory, phrases, phrase_mask))

    def lay_out(self, inputs: ModelInputs | TextInputs) -> Layout:
        """Compute the layout of inputs that come without one."""
        return lay_out(
            inputs.input_ids,
            inputs.attention_mask,
            inputs.pixels.grid_thw,
            self.config,
            logit_mask=inputs.logit_mask,
            segment_ids=inputs.segment_ids,
        )

    def run_language_model(self, inputs: ModelInputs | TextInputs, layout: Layout) -> Tensor:
        """States [B, T, D] after the final norm, under hybrid attention and M-RoPE positions."""
        variant = self.config.variant
        is_query = inputs.input_ids == self.config.tokens.query
        image_embeds, deepstack = self.encode_image(inputs.pixels)
        embeds = self.model.language_model.embed_tokens(inputs.input_ids)  # [B, T, D]
        # Image tokens and the query bank replace the embeddings of their placeholders: rows are [B * T, D].
        rows = embeds.flatten(0, 1).index_copy(0, layout.image_rows, image_embeds.to(embeds.dtype))
        if variant.query_bank:
            bank = self.model.mask_queries.repeat(len(layout.query_rows) // self.config.num_queries, 1)  # [P * K, D]
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
        """Qwen3-VL's image tokens [N, D] and those for its first layers (DeepStack), in the order of the images."""
        given = pixels.vision_inputs
        if given is None:
            given = compute_vision_inputs(pixels.grid_thw, self.config.qwen.vision_config).to(pixels.qwen.device)
        output = self.model.visual(pixels.normalized_qwen().to(self.dtype), grid_thw=pixels.grid_thw, **vars(given))
        return output.pooler_output, output.deepstack_features

    def encode_phrase_images(self, pixels: Pixels, phrase_owner: Tensor) -> VisionFeatures | None:
        """SAM3's features of the image of each phrase; None without phrases, when SAM3 need not see any image."""
        if not len(phrase_owner):
            return None
        encoded: VisionFeatures = self.model.grounding_model.encode(pixels.normalized_sam3())
        return encoded.select(phrase_owner)

    def project_queries(self, query_states: Tensor) -> Tensor:
        """SAM3's decoder queries [P, K, C] from the language model's states [P, K, D], or its own in that variant."""
        queries: Tensor = self.model.mask_hidden_fcs[0](query_states)
        return queries if self.config.variant.conditioned_queries else self.own_queries(len(queries))

    def own_queries(self, phrases: int) -> Tensor:
        """SAM3's own query embedding for each phrase, [P, K, C]."""
        own: Tensor = self.model.grounding_model.model.detr_decoder.query_embed.weight
        return own.expand(phrases, -1, -1)

    def embed_phrases(self, phrase_ids: Tensor, phrase_mask: Tensor, *, condition: bool) -> tuple[Tensor, Tensor]:
        """SAM3's text condition [P, L, C] and its mask bool [P, L], of phrases int64 [P, L].

        The condition is the projected token embeddings of a phrase, not its hidden states; padding is 0 after the
        projection. With `condition=False` it is `DUMMY_TOKEN`, once, for every phrase.
        """
        if not condition:
            phrase_ids = torch.full_like(phrase_ids, DUMMY_TOKEN)
            phrase_mask = (torch.arange(phrase_mask.shape[1], device=phrase_mask.device) == 0).expand_as(phrase_mask)
        phrases = self.model.text_hidden_fcs[0](self.model.language_model.embed_tokens(phrase_ids))
        return phrases * phrase_mask.unsqueeze(-1), phrase_mask

    def ground(
        self, vision: VisionFeatures | None, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """Turn query states into masks, scores and boxes with one pass of SAM3's detector (paper section 3).

        Args:
            vision: features of the images of the P phrases; None only without phrases.
            query_states: [P, K, D].
            phrase_ids: int64 [P, L].
            phrase_mask: bool [P, L], True on tokens.
        """
        queries = self.project_queries(query_states)
        phrases, phrase_mask = self.embed_phrases(
            phrase_ids, phrase_mask, condition=self.config.variant.phrase_condition
        )
        detections = self.detect(vision, queries, phrases, phrase_mask)
        return make_prediction(detections, query_states, queries, phrases)

    def empty_prediction(self) -> Prediction:
        """The prediction for an answer without a phrase."""
        bank, width = self.model.mask_queries, self.config.out_dim
        queries = bank.new_zeros(0, len(bank), width)
        detections = no_detections(queries, queries[:, :0], self.mask_grid)
        return make_prediction(detections, bank.new_zeros(0, *bank.shape), queries, bank.new_zeros(0, 0, width))

    def detect(
        self, vision: VisionFeatures | None, queries: Tensor, phrases: Tensor, phrase_mask: Tensor
    ) -> Detections:
        """Decode queries [P, K, C] of phrases [P, L, C] in one pass of SAM3's detector; nothing without phrases."""
        if vision is None or not len(queries):
            return no_detections(queries[:0], queries[:0, :0], self.mask_grid)
        detections: Detections = self.model.grounding_model(vision, queries, phrases, phrase_mask)
        return detections

    def detect_shared(
        self, vision: VisionFeatures, queries: Tensor, phrases: Tensor, phrase_mask: Tensor, sharing: QuerySharing
    ) -> Detections:
        """Decode the queries of the first phrase about each image, and score them for all phrases about it."""
        detector: QueryDetector = self.model.grounding_model
        owners, index = sharing.owners, sharing.index
        detections: Detections = detector(vision.select(owners), queries[owners], phrases[owners], phrase_mask[owners])
        return detections.select(index, detector.score(detections.states[index], phrases, phrase_mask))

    def score_locations(self, memory: Tensor, phrases: Tensor, phrase_mask: Tensor) -> Tensor:
        """Logits [P, h_f, w_f] of how well each location of a feature map [P, h_f * w_f, C] matches its phrase."""
        detector: QueryDetector = self.model.grounding_model
        side = math.isqrt(memory.shape[1])
        return detector.score(memory, phrases, phrase_mask).view(len(memory), side, side)

    def _next_token_logits(self, states: Tensor, layout: Layout) -> Tensor:
        """Logits [N, vocabulary] of the next token at the N rows of states [B * T, D] that need them."""
        logits: Tensor = self.lm_head(states.index_select(0, layout.logit_rows))
        return logits


def projection(hidden: int, out_dim: int) -> nn.Sequential:
    """From the language model's width to SAM3's; the indices 0 and 2 are part of the published names."""
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_dim))
