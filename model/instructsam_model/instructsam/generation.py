"""Generation of the answer to an instruction about an image.

The answer is text with phrases in it. Whenever the model closes a phrase with `<|object_ref_end|>`, a block of K + 3
embeddings is injected, `ref_end mask_start query*K mask_end`; the hidden states of its queries become the phrase's
instance slots, and `mask_end` predicts the token that follows (paper section 3).

Notation:
    P  phrases
    K  queries of a phrase
    D  hidden size of the language model
    T  tokens of the image prompt
    G  draft tokens
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.datatypes import never
from instructsam_model.errors import raise_if_canceled
from instructsam_model.instructsam.config import ModelConfig, SpecialTokens
from instructsam_model.instructsam.engine.tokens import ImagePrompt
from instructsam_model.instructsam.incremental_decoder import IncrementalDecoder
from instructsam_model.instructsam.inference_mode import InferenceMode
from instructsam_model.instructsam.layout import mrope_positions


@dataclass(frozen=True)
class GeneratedAnswer:
    """An answer as the language model generated it.

    Attributes:
        token_ids: generated tokens, the stop token included, injected tokens not.
        phrase_spans: start (inclusive) and end (exclusive) of each phrase within `token_ids`, without delimiters.
        query_states: hidden states of each phrase's queries, [P, K, D]; None without phrases.
    """

    token_ids: tuple[int, ...]
    phrase_spans: tuple[tuple[int, int], ...]
    query_states: Tensor | None

    def phrase_rows(self, length: int, delimiters: int = 0) -> tuple[Tensor, Tensor]:
        """Return the phrases as rows of padded token ids, SAM3's text condition: int64 and bool [P, length].

        Args:
            length: maximum number of tokens; longer phrases are cut off.
            delimiters: number of tokens before and after each phrase that belong to its row.
        """
        ids = torch.zeros(len(self.phrase_spans), length, dtype=torch.long)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, (start, end) in enumerate(self.phrase_spans):
            phrase = self.token_ids[max(start - delimiters, 0) : end + delimiters][:length]
            ids[row, : len(phrase)] = torch.tensor(phrase)
            mask[row, : len(phrase)] = True
        return ids, mask


def make_image_prompt(
    prompt_ids: Sequence[int], grid_thw: Tensor, config: ModelConfig, mode: InferenceMode
) -> ImagePrompt:
    """Compute the positions of the prompt up to the instruction.

    Args:
        prompt_ids: T token ids with the image placeholders.
        grid_thw: int64 [1, 3] on the CPU, patches of the image in time, height and width.
        config: of the network.
        mode: decides the positions.
    """
    ids = torch.tensor([prompt_ids])
    if mode.mrope:
        positions = mrope_positions(ids, torch.ones_like(ids, dtype=torch.bool), grid_thw, config)[:, 0]  # [3, T]
    else:
        positions = torch.arange(ids.shape[1]).expand(3, -1)  # [3, T]
    image_token = config.qwen.image_token_id
    return ImagePrompt(
        ids=tuple(prompt_ids),
        positions=positions,
        image_start=prompt_ids.index(image_token),
        image_length=prompt_ids.count(image_token),
        next_position=int(positions.max()) + 1,
    )


def generate(
    decoder: IncrementalDecoder,
    instruction_ids: Sequence[int],
    special: SpecialTokens,
    *,
    stop_ids: Collection[int],
    max_new_tokens: int,
    draft_ids: Sequence[int] = (),
    propose: Callable[[Sequence[int]], Sequence[int]] = lambda _: (),
    is_canceled: Callable[[], bool] = never,
) -> GeneratedAnswer:
    """Generate greedily until a stop token or `max_new_tokens`, injecting a block of queries after every phrase.

    Draft tokens are verified in one pass instead of one pass each, and do not change the result: they are accepted up
    to the first one that the model would not have generated (speculative decoding, Leviathan et al., 2023). Drafts are
    the last answer to the same instruction, or words of the instruction (see `PromptLookup`).

    Args:
        decoder: in the state after the image prompt.
        instruction_ids: the prompt from the instruction on.
        special: tokens around phrases.
        stop_ids: tokens that end the answer.
        max_new_tokens: maximum number of generated tokens; injected tokens do not count.
        draft_ids: draft of the whole answer, such as the `token_ids` of an earlier one; empty for none.
        propose: given the tokens generated so far, returns draft tokens that may follow; empty for none.
        is_canceled: called before each pass.

    Raises:
        CanceledError: `is_canceled` returned True.
    """
    answer = _AnswerBuilder(special, stop_ids, max_new_tokens)
    known: Sequence[int] = instruction_ids  # tokens that are certain but not yet in the cache
    pending: tuple[int, ...] = ()  # those of them that belong to the answer: none at first, then one
    draft = tuple(draft_ids or propose(()))[:max_new_tokens]
    while True:
        raise_if_canceled(is_canceled)
        # Predictions and states after the last known token and after each draft token: 1 + G of each.
        next_ids, states = decoder.forward(known, draft)

        # Accept draft tokens up to the first that differs from the prediction before it.
        accepted = next((index for index, token in enumerate(draft) if token != next_ids[index]), len(draft))
        # states[0] belongs to the pending token; without one (first pass) it is the state after the instruction.
        for token, state in zip((*pending, *draft[:accepted]), states[1 - len(pending) :], strict=False):
            answer.add(token, state.query_states)
        decoder.rollback(states[accepted])
        if not answer.remaining:
            break

        # The prediction after the last accepted token is correct in any case; it is read in the next pass.
        token = next_ids[accepted]
        if token in stop_ids:
            answer.add(token, None)
            break
        known = pending = (token,)
        draft = tuple(propose((*answer.token_ids, *pending)))[: answer.remaining - 1]
    return answer.build()


class _AnswerBuilder:
    """Collects the generated tokens, and finds the phrases among them."""

    def __init__(self, special: SpecialTokens, stop_ids: Collection[int], max_new_tokens: int) -> None:
        self._special = special
        self._stop_ids = stop_ids
        self._max_new_tokens = max_new_tokens
        self._token_ids: list[int] = []
        self._spans: list[tuple[int, int]] = []
        self._query_states: list[Tensor] = []
        self._phrase_start = 0

    @property
    def remaining(self) -> int:
        """How many more tokens may be generated; 0 after a stop token."""
        is_ended = bool(self._token_ids) and self._token_ids[-1] in self._stop_ids
        return 0 if is_ended else self._max_new_tokens - len(self._token_ids)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The tokens so far."""
        return tuple(self._token_ids)

    def add(self, token: int, query_states: Tensor | None) -> None:
        """Append a token.

        Args:
            token: its id.
            query_states: [K, D] of the block injected after the token, if it ends a phrase.
        """
        end = len(self._token_ids)
        self._token_ids.append(token)
        if query_states is not None and self._phrase_start < end:  # SAM3 cannot be conditioned on an empty phrase
            self._spans.append((self._phrase_start, end))
            self._query_states.append(query_states)
        if token in (self._special.ref_start, self._special.ref_end):
            self._phrase_start = end + 1

    def build(self) -> GeneratedAnswer:
        """Return the answer."""
        states = torch.stack(self._query_states) if self._query_states else None  # [P, K, D]
        return GeneratedAnswer(tuple(self._token_ids), tuple(self._spans), states)
