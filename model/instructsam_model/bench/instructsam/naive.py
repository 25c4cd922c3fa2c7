"""Naive inference in the style of public inference code, the baseline of `--compare-naive`.

Nothing is cached: for every instruction the image is resized on the CPU, both encoders run, the prompt is prefilled
with an explicit mask, the answer is generated token by token, and the masks of all slots are resized on the CPU. The
network is the same, and so are the results.

Notation:
    P  phrases
    K  queries of a phrase
    T  tokens of a pass
    D  hidden size of the language model
    H, W  height and width of the image
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import DynamicCache

from instructsam_model.datatypes import Frame, Instruction
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS
from instructsam_model.instructsam.random_weights import ScriptedEngine
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.stages import stage


class NaivePipeline:
    """Runs the network of a segmenter without any of its caches.

    Args:
        segmenter: provides network and preprocessor.
        max_new_tokens: maximum length of the generated text; None for the segmenter's.
    """

    def __init__(self, segmenter: InstructSAMSegmenter, max_new_tokens: int | None = None) -> None:
        self._network = segmenter.network
        self._preprocessor = segmenter.preprocessor
        self._max_new_tokens = segmenter.max_new_tokens if max_new_tokens is None else max_new_tokens
        # Random weights generate no phrases, so their predictions are computed and then replaced.
        self._script = segmenter.engine.script if isinstance(segmenter.engine, ScriptedEngine) else ()

    @torch.inference_mode()
    def segment(self, frame: Frame, instruction: Instruction) -> tuple[np.ndarray, np.ndarray]:
        """Return the masks of all slots, bool [P * K, H, W], and their scores [P * K]."""
        # 1. Resize, prefill and generate.
        with stage('preprocess'):
            pixels = self._resize(frame)
        prompt = [*self._preprocessor.image_prefix(pixels.grid_thw), *self._preprocessor.instruction(instruction.text)]
        query_states, phrases = self._generate(prompt, pixels)
        # 2. Encode the image with SAM3.
        with stage('sam3 vision'):
            vision = self._network.model.grounding_model.encode(pixels.sam3)
        # 3. Decode all slots and resize their masks one by one.
        masks, scores = [], []
        if phrases:
            ids = torch.zeros(len(phrases), MAX_PHRASE_TOKENS, dtype=torch.long)
            for row, phrase in enumerate(phrases):
                ids[row, : len(phrase)] = torch.tensor(phrase[:MAX_PHRASE_TOKENS])
            lengths = torch.tensor([[len(phrase)] for phrase in phrases])
            is_token = (torch.arange(MAX_PHRASE_TOKENS) < lengths).to(self._network.device)
            owner = torch.zeros(len(phrases), dtype=torch.long, device=self._network.device)
            with stage('sam3 decode'):
                prediction = self._network.ground(
                    vision.select(owner), torch.stack(query_states), ids.to(self._network.device), is_token
                )
            for mask, score in zip(
                prediction.mask_logits.flatten(0, 1).float().cpu(), prediction.scores.flatten().tolist(), strict=True
            ):
                resized = F.interpolate(mask[None, None], size=frame.size_wh[::-1], mode='bilinear')[0, 0]
                masks.append((resized > 0).numpy())
                scores.append(score)
        return np.array(masks), np.array(scores)

    def _resize(self, frame: Frame) -> Pixels:
        """Make the inputs of both encoders with Pillow, like `transformers`' slow image processors."""
        config, device = self._network.config, self._network.device
        image = Image.fromarray(frame.image_rgb)
        side = config.sam3.vision_config.backbone_config.image_size
        stretched = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32)
        sam3 = torch.from_numpy(((stretched / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None].copy())
        qwen = self._preprocessor.qwen_images(images=[image], return_tensors='pt')
        return Pixels(
            qwen['pixel_values'].to(device, self._network.dtype),
            qwen['image_grid_thw'].to(device),
            sam3.to(device, self._network.dtype),
        )

    def _generate(self, prompt: list[int], pixels: Pixels) -> tuple[list[torch.Tensor], list[list[int]]]:
        """Generate the answer: hidden states [K, D] of each phrase's queries, and token ids of each phrase."""
        network, tokens = self._network, self._network.config.tokens
        embed = network.model.language_model.embed_tokens
        cache = DynamicCache(config=network.config.qwen.text_config)
        state, position = self._prefill(prompt, pixels, cache)
        generated: list[int] = []
        query_states: list[torch.Tensor] = []
        phrases: list[list[int]] = []
        while len(generated) < self._max_new_tokens:
            token = int(network.lm_head(state).argmax())
            if self._script:
                token = self._script[len(generated)]
            generated.append(token)
            if token in network.config.stop_tokens:
                break
            if token == tokens.ref_end:  # inject the block of queries
                around = torch.tensor([tokens.ref_end, tokens.mask_start, tokens.mask_end], device=network.device)
                text = embed(around)
                block = torch.cat([text[:2], network.model.mask_queries, text[2:]])  # [K + 3, D]
                states = self._forward(block, position, cache)
                query_states.append(states[2:-1])
                start = len(generated) - 1 - generated[::-1].index(tokens.ref_start)
                phrases.append(generated[start + 1 : -1])
            else:
                states = self._forward(embed(torch.tensor([token], device=network.device)), position, cache)
            position += len(states)
            state = states[-1]
        return query_states, phrases

    @stage('prefill')
    def _prefill(self, prompt: list[int], pixels: Pixels, cache: DynamicCache) -> tuple[torch.Tensor, int]:
        """Prefill image and instruction: the last token's hidden state [D], and the position of the next token."""
        network = self._network
        ids = torch.tensor([prompt], device=network.device)
        is_image = ids == network.config.qwen.image_token_id
        with stage('qwen vision'):
            image_embeds, deepstack = network.encode_image(pixels)
        embeds = network.model.language_model.embed_tokens(ids)
        positions, _ = network.model.get_rope_index(ids, is_image.int(), image_grid_thw=pixels.grid_thw)
        states = network.model.language_model(
            inputs_embeds=embeds.masked_scatter(is_image.unsqueeze(-1), image_embeds.to(network.dtype)),
            attention_mask=torch.ones(1, 1, len(prompt), len(prompt), dtype=torch.bool, device=network.device).tril(),
            position_ids=positions,
            past_key_values=cache,
            visual_pos_masks=is_image,
            deepstack_visual_embeds=deepstack,
            use_cache=True,
        ).last_hidden_state
        return states[0, -1], int(positions.max()) + 1

    @stage('text')
    def _forward(self, embeds: torch.Tensor, position: int, cache: DynamicCache) -> torch.Tensor:
        """Run one token, or a block of queries, after the contents of the cache; returns hidden states [T, D]."""
        count, cached = len(embeds), cache.get_seq_length()
        mask = torch.ones(1, 1, count, cached + count, dtype=torch.bool, device=embeds.device).tril(cached)
        if count > 1:
            mask[..., 2:-1, cached + 2 : -1] = True  # queries attend to each other
        states: torch.Tensor = self._network.model.language_model(
            inputs_embeds=embeds[None],
            attention_mask=mask,
            position_ids=torch.arange(position, position + count, device=embeds.device).expand(3, 1, -1),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return states[0]
