"""Writing the answers to any number of instructions about an image.

The answer is text. Whenever the model closes a phrase with `<|object_ref_end|>`, a block of K + 3 embeddings is
injected, `ref_end mask_start query*K mask_end`; the states of its queries become the phrase's slots, and `mask_end`
predicts how the text goes on (paper section 3.2).

Notation: P phrases, K queries, D the language model's hidden size.
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
class Answer:
    """What the language model wrote.

    Attributes:
        token_ids: as generated, the end token included, injected tokens not.
        phrase_spans: start (inclusive) and end (exclusive) of each phrase within `token_ids`, without delimiters.
        query_states: the states of each phrase's queries, [P, K, D]; None where there is no phrase.
    """

    token_ids: tuple[int, ...]
    phrase_spans: tuple[tuple[int, int], ...]
    query_states: Tensor | None


def lay_out_image(
    prompt_ids: Sequence[int], grid_thw: Tensor, config: ModelConfig, protocol: InferenceMode
) -> ImagePrompt:
    """Find the positions of the prompt up to the instruction.

    Args:
        prompt_ids: with image placeholders in place.
        grid_thw: int64 [1, 3] on the CPU, patches of the image.
        config: of the network.
        protocol: decides the positions.
    """
    ids = torch.tensor([prompt_ids])
    if protocol.mrope:
        positions = mrope_positions(ids, torch.ones_like(ids, dtype=torch.bool), grid_thw, config)[:, 0]  # [3, T]
    else:
        positions = torch.arange(ids.shape[1]).expand(3, -1)
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
) -> Answer:
    """Answer greedily until a stop token or `max_new_tokens`, injecting the queries after every phrase.

    A draft costs one pass instead of one for each of its tokens, and changes nothing: as far as the model would have
    written it, it stands, and from there on the model writes (speculative decoding, Leviathan et al., 2023). Where one
    instruction stays over many frames the last answer is the draft; where the answer copies words of the instruction
    they are proposed, see `PromptLookup`.

    Args:
        decoder: behind the image's prompt.
        instruction_ids: the prompt from the instruction on.
        special: tokens around phrases.
        stop_ids: tokens that end the answer.
        max_new_tokens: at most so many are written, injected ones not counted.
        draft_ids: what the answer may be, as `Answer.token_ids` of an earlier one; empty for no idea.
        propose: gives what may come behind the tokens that are written so far; none if it has no idea.
        is_canceled: checked before each pass.

    Raises:
        CanceledError: `is_canceled` returned True.
    """
    answer = _GeneratedAnswer(special, stop_ids, max_new_tokens)
    known: Sequence[int] = instruction_ids
    begun: tuple[int, ...] = ()  # what of that belongs to the answer
    draft = tuple(draft_ids or propose(()))[:max_new_tokens]
    while True:
        raise_if_canceled(is_canceled)
        next_ids, marks = decoder.forward(known, draft)
        accepted = next((n for n, token in enumerate(draft) if token != next_ids[n]), len(draft))
        for token, mark in zip((*begun, *draft[:accepted]), marks[1 - len(begun) :], strict=False):
            answer.add(token, mark.queries)
        decoder.rollback(marks[accepted])
        if not answer.room:
            break
        token = next_ids[accepted]
        if token in stop_ids:
            answer.add(token, None)
            break
        known = begun = (token,)
        draft = tuple(propose((*answer.token_ids, *begun)))[: answer.room - 1]
    return answer.finish()


class _GeneratedAnswer:
    """The answer while it is written: its tokens, and where its phrases are."""

    def __init__(self, tokens: SpecialTokens, stop_ids: Collection[int], max_new_tokens: int) -> None:
        self._tokens = tokens
        self._stop_ids = stop_ids
        self._max_new_tokens = max_new_tokens
        self._written: list[int] = []
        self._spans: list[tuple[int, int]] = []
        self._query_states: list[Tensor] = []
        self._start = 0

    @property
    def room(self) -> int:
        """How many more tokens may be written; 0 behind a stop token."""
        ended = bool(self._written) and self._written[-1] in self._stop_ids
        return 0 if ended else self._max_new_tokens - len(self._written)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """What is written so far."""
        return tuple(self._written)

    def add(self, token: int, queries: Tensor | None) -> None:
        """Add a token, with the states [K, D] of the queries that are injected behind it if it ends a phrase."""
        end = len(self._written)
        self._written.append(token)
        if queries is not None and self._start < end:  # a phrase without a word cannot condition SAM3
            self._spans.append((self._start, end))
            self._query_states.append(queries)
        if token in (self._tokens.ref_start, self._tokens.ref_end):
            self._start = end + 1

    def finish(self) -> Answer:
        """What was written."""
        states = torch.stack(self._query_states) if self._query_states else None
        return Answer(tuple(self._written), tuple(self._spans), states)
