"""`ReferenceEngine`: the modules of `transformers` as they are, nothing padded. The reference, and best on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from instructsam_model.instructsam.engine.tokens import PADDING, ImagePrompt, Tokens
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM, Prediction
from instructsam_model.instructsam.vision_inputs import VisionInputs, compute_vision_inputs
from instructsam_model.sam3.features import VisionFeatures

IMAGE_SIZES = 8
"""Of which what depends on the size alone is kept."""


class ReferenceEngine:
    """An `Engine` that calls the network's own modules one after the other.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: InstructSAM) -> None:
        self.network = network
        self._cache = DynamicCache(config=network.config.qwen.text_config)
        self._image: tuple[ImagePrompt, Tensor, list[Tensor]] | None = None
        self._vision_inputs = lru_cache(IMAGE_SIZES)(self._compute_vision_inputs)

    def encode(self, pixels: Pixels) -> VisionFeatures:
        """SAM3's features of an image."""
        return self.network.model.grounding_model.encode(pixels.sam3.to(self.network.dtype))

    def open_image(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Run Qwen3-VL's image encoder."""
        self._cache = DynamicCache(config=self.network.config.qwen.text_config)
        given = pixels.vision_inputs or self._vision_inputs(*pixels.grid_thw[0].tolist())
        self._image = (prompt, *self.network.encode_image(replace(pixels, vision_inputs=given)))

    def read(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """One pass of the language model, see `Engine.read`."""
        assert self._image is not None
        prompt, image_embeds, deepstack = self._image
        cached = self._cache.get_seq_length()
        if cached > tokens.slots[0]:
            self._cache.crop(tokens.slots[0] - cached)
        embeds, positions = self._embed(tokens), torch.tensor(tokens.positions).expand(3, -1)
        images: dict[str, Any] = {}
        if not cached:
            first = self._embed_ids(prompt.ids)
            image_rows = torch.arange(prompt.image_length, device=self.network.device) + prompt.image_start
            embeds = torch.cat([first.index_copy(0, image_rows, image_embeds.to(first.dtype)), embeds])
            positions = torch.cat([prompt.positions, positions], dim=1)
            images = {'visual_pos_masks': image_rows, 'deepstack_visual_embeds': deepstack}
        cache = self._cache if cached else DynamicCache(config=self.network.config.qwen.text_config)
        states: Tensor = self.network.model.language_model(
            inputs_embeds=embeds.unsqueeze(0),
            attention_mask=None if tokens.is_causal else self._mask(tokens, len(embeds)),
            position_ids=positions.to(self.network.device).unsqueeze(1),
            past_key_values=cache,
            use_cache=True,
            **images,
        ).last_hidden_state[0, -len(tokens) :]
        self._cache = cache  # only now, for a pass that fails may have filled it in part
        next_ids: list[int] = self.network.lm_head(states[list(rows)]).argmax(-1).tolist()
        return next_ids, states

    def ground(
        self, vision: VisionFeatures, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """One pass of SAM3's detector, see `Engine.ground`."""
        device = self.network.device
        owner = torch.zeros(len(phrase_ids), dtype=torch.long, device=device)
        return self.network.ground(vision.select(owner), query_states, phrase_ids.to(device), phrase_mask.to(device))

    def prepare(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Nothing is compiled here."""

    def _compute_vision_inputs(self, *grid_thw: int) -> VisionInputs:
        vision_config = self.network.config.qwen.vision_config
        return compute_vision_inputs(torch.tensor([grid_thw]), vision_config).to(self.network.device)

    def _embed(self, tokens: Tokens) -> Tensor:
        """Token embeddings with rows of the query bank in their places, [T, D]."""
        embeds = self._embed_ids(tokens.ids)
        queries = [row for row, bank_row in enumerate(tokens.bank_rows) if bank_row != PADDING]
        bank = self.network.model.mask_queries[[tokens.bank_rows[row] for row in queries]]
        return embeds.index_copy(0, torch.tensor(queries, dtype=torch.long, device=embeds.device), bank)

    def _embed_ids(self, ids: Sequence[int]) -> Tensor:
        embeds: Tensor = self.network.model.language_model.embed_tokens(torch.tensor(ids, device=self.network.device))
        return embeds

    def _mask(self, tokens: Tokens, length: int) -> Tensor:
        """Visibility of the last `length` tokens, those of an image prompt included, bool [1, 1, length, slots]."""
        slots = tokens.slots[-1] + 1
        ends = [*range(slots - length + 1, slots - len(tokens) + 1), *tokens.ends]
        visible = torch.arange(slots) < torch.tensor(ends).unsqueeze(1)
        return visible.to(self.network.device)[None, None]
