"""The straightforward way to answer, as public inference code goes about it: what `--compare-naive` compares with.

Everything again for every instruction: the picture is resized on the CPU, both encoders run, the prompt is read behind
an explicit mask, the answer is written token by token, and the masks of all slots are enlarged on the CPU. The network
is the same, and so are its answers.
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
    """Answers with the network of a segmenter, and with nothing that it remembers."""

    def __init__(self, segmenter: InstructSAMSegmenter) -> None:
        self._network = segmenter.network
        self._preprocessor = segmenter.preprocessor
        self._max_new_tokens = segmenter.max_new_tokens
        # Random weights write no phrase: what they would say is computed, read, and replaced.
        self._script = segmenter.engine.script if isinstance(segmenter.engine, ScriptedEngine) else ()

    @torch.inference_mode()
    def answer(self, frame: Frame, instruction: Instruction) -> tuple[np.ndarray, np.ndarray]:
        """Masks of all slots, bool [P * K, H, W], and their scores [P * K]."""
        with stage('preprocess'):
            pixels = self._resize(frame)
        prompt = [*self._preprocessor.image_prefix(pixels.grid_thw), *self._preprocessor.instruction(instruction.text)]
        query_states, phrases = self._generate(prompt, pixels)
        with stage('sam3 vision'):
            vision = self._network.model.grounding_model.encode(pixels.sam3)
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
        """Both encoders' inputs, resized by Pillow as the slow image processors did."""
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
        """Write the answer: the states of each phrase's queries, and the phrases' tokens."""
        network, tokens = self._network, self._network.config.tokens
        embed = network.model.language_model.embed_tokens
        cache = DynamicCache(config=network.config.qwen.text_config)
        state, position = self._prefill(prompt, pixels, cache)
        written: list[int] = []
        query_states: list[torch.Tensor] = []
        phrases: list[list[int]] = []
        while len(written) < self._max_new_tokens:
            token = int(network.lm_head(state).argmax())
            if self._script:
                token = self._script[len(written)]
            written.append(token)
            if token in network.config.stop_tokens:
                break
            if token == tokens.ref_end:
                around = torch.tensor([tokens.ref_end, tokens.mask_start, tokens.mask_end], device=network.device)
                text = embed(around)
                states = self._read(torch.cat([text[:2], network.model.mask_queries, text[2:]]), position, cache)
                query_states.append(states[2:-1])
                start = len(written) - 1 - written[::-1].index(tokens.ref_start)
                phrases.append(written[start + 1 : -1])
            else:
                states = self._read(embed(torch.tensor([token], device=network.device)), position, cache)
            position += len(states)
            state = states[-1]
        return query_states, phrases

    @stage('prefill')
    def _prefill(self, prompt: list[int], pixels: Pixels, cache: DynamicCache) -> tuple[torch.Tensor, int]:
        """Read picture and instruction: the last token's state [D], and the position of the next one."""
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
    def _read(self, embeds: torch.Tensor, position: int, cache: DynamicCache) -> torch.Tensor:
        """Read a token, or a block of queries, behind what is in the cache: their states [T, D]."""
        count, cached = len(embeds), cache.get_seq_length()
        mask = torch.ones(1, 1, count, cached + count, dtype=torch.bool, device=embeds.device).tril(cached)
        if count > 1:
            mask[..., 2:-1, cached + 2 : -1] = True  # the queries see each other
        states: torch.Tensor = self._network.model.language_model(
            inputs_embeds=embeds[None],
            attention_mask=mask,
            position_ids=torch.arange(position, position + count, device=embeds.device).expand(3, 1, -1),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return states[0]
