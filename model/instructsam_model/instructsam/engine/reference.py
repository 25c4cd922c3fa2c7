"""`ReferenceEngine`: the modules of `transformers` without padding; the numerical reference, and fastest on a CPU.

Notation:
    T  new tokens
    I  tokens of the image prompt
    D  hidden size of the language model
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from instructsam_model.instructsam.engine.tokens import PADDING, ImagePrompt, Tokens, raise_if_invalid
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.vision_inputs import VisionInputs, compute_vision_inputs
from instructsam_model.runtime.finite import INVALID, most_probable
from instructsam_model.sam3.features import VisionFeatures

CACHED_IMAGE_SIZES = 8
"""Image sizes whose `VisionInputs` are kept."""


class ReferenceEngine:
    """An `Engine` that calls the network's own modules.

    Args:
        network: in evaluation mode.
    """

    def __init__(self, network: InstructSAM) -> None:
        self.network = network
        self._cache = DynamicCache(config=network.config.qwen.text_config)
        self._image: tuple[ImagePrompt, Tensor, list[Tensor]] | None = None
        self._vision_inputs = lru_cache(CACHED_IMAGE_SIZES)(self._compute_vision_inputs)

    def encode(self, pixels: Pixels) -> VisionFeatures:
        """Compute SAM3's features of an image."""
        return self.network.model.grounding_model.encode(pixels.sam3.to(self.network.dtype))

    def set_image(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Run Qwen3-VL's image encoder and empty the key-value cache."""
        self._cache = DynamicCache(config=self.network.config.qwen.text_config)
        inputs = pixels.vision_inputs or self._vision_inputs(*pixels.grid_thw[0].tolist())
        self._image = (prompt, *self.network.encode_image(replace(pixels, vision_inputs=inputs)))

    def forward(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """Run one pass of the language model, see `Engine.forward`."""
        assert self._image is not None, 'set_image must be called first'
        prompt, image_embeds, deepstack = self._image

        # 1. Drop cache slots that the new tokens overwrite.
        cached = self._cache.get_seq_length()
        if cached > tokens.slots[0]:
            self._cache.crop(tokens.slots[0] - cached)

        # 2. Embeddings and positions of the new tokens; before them the image prompt if the cache is empty.
        embeds, positions = self._embed(tokens), torch.tensor(tokens.positions).expand(3, -1)  # [T, D], [3, T]
        images: dict[str, Any] = {}
        if not cached:
            first = self._embed_ids(prompt.ids)  # [I, D]
            image_rows = torch.arange(prompt.image_length, device=self.network.device) + prompt.image_start
            embeds = torch.cat([first.index_copy(0, image_rows, image_embeds.to(first.dtype)), embeds])
            positions = torch.cat([prompt.positions, positions], dim=1)
            images = {'visual_pos_masks': image_rows, 'deepstack_visual_embeds': deepstack}

        # 3. The pass. One that fails may fill its cache partly, so a prefill uses a new cache that is kept at the end.
        cache = self._cache if cached else DynamicCache(config=self.network.config.qwen.text_config)
        states: Tensor = self.network.model.language_model(
            inputs_embeds=embeds.unsqueeze(0),
            attention_mask=None if tokens.is_causal else self._mask(tokens, len(embeds)),
            position_ids=positions.to(self.network.device).unsqueeze(1),
            past_key_values=cache,
            use_cache=True,
            **images,
        ).last_hidden_state[0, -len(tokens) :]
        self._cache = cache

        # 4. Predict the next token after the requested rows.
        predicted = most_probable(self.network.lm_head(states[list(rows)]))
        next_ids: list[int] = predicted.where(states.isfinite().all(), INVALID).tolist()
        raise_if_invalid(next_ids)
        return next_ids, states

    def ground(
        self, vision: VisionFeatures, query_states: Tensor, phrase_ids: Tensor, phrase_mask: Tensor
    ) -> Prediction:
        """Run one pass of SAM3's detector, see `Engine.ground`."""
        device = self.network.device
        image_index = torch.zeros(len(phrase_ids), dtype=torch.long, device=device)  # all phrases are about one image
        features = vision.select(image_index)
        return self.network.ground(features, query_states, phrase_ids.to(device), phrase_mask.to(device))

    def prepare(self, pixels: Pixels, prompt: ImagePrompt) -> None:
        """Do nothing: this engine compiles nothing."""

    def _compute_vision_inputs(self, *grid_thw: int) -> VisionInputs:
        vision_config = self.network.config.qwen.vision_config
        return compute_vision_inputs(torch.tensor([grid_thw]), vision_config).to(self.network.device)

    def _embed(self, tokens: Tokens) -> Tensor:
        """Return the embeddings of tokens, rows of the query bank for queries, [T, D]."""
        embeds = self._embed_ids(tokens.ids)
        queries = [row for row, bank_row in enumerate(tokens.bank_rows) if bank_row != PADDING]
        bank = self.network.model.mask_queries[[tokens.bank_rows[row] for row in queries]]
        return embeds.index_copy(0, torch.tensor(queries, dtype=torch.long, device=embeds.device), bank)

    def _embed_ids(self, ids: Sequence[int]) -> Tensor:
        embeds: Tensor = self.network.model.language_model.embed_tokens(torch.tensor(ids, device=self.network.device))
        return embeds

    def _mask(self, tokens: Tokens, length: int) -> Tensor:
        """Return the attention mask of a pass, bool [1, 1, length, slots].

        Args:
            tokens: T new tokens, the last rows of the pass.
            length: rows of the pass: T, or I + T with the image prompt, which is causal.
        """
        slots = tokens.slots[-1] + 1
        # Row i attends to the slots before ends[i].
        ends = [*range(slots - length + 1, slots - len(tokens) + 1), *tokens.ends]
        visible = torch.arange(slots) < torch.tensor(ends).unsqueeze(1)
        return visible.to(self.network.device)[None, None]
