"""Reading a picture once, and writing the answer to any number of instructions about it.

The answer is text. Whenever the model closes a phrase with `<|object_ref_end|>`, a block of K + 3 embeddings is
injected, `ref_end mask_start query*K mask_end`; the states of its queries become the phrase's slots, and `mask_end`
predicts how the text goes on (paper section 3.2).

Notation: B = 1 picture, T tokens, P phrases, K queries, D the language model's hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.config import SpecialTokens
from instructsam_model.inputs import Pixels
from instructsam_model.network import InstructSAM
from instructsam_model.protocol import InferenceProtocol
from instructsam_model.reader import Prefix, Reader


@dataclass(frozen=True)
class Answer:
    """What the language model wrote.

    Attributes:
        token_ids: as generated, the end token included, injected tokens not.
        phrase_spans: start (inclusive) and end (exclusive) of each phrase within `token_ids`, without delimiters.
        query_states: the states of each phrase's queries, [P, K, D].
    """

    token_ids: tuple[int, ...]
    phrase_spans: tuple[tuple[int, int], ...]
    query_states: Tensor


def read_picture(
    network: InstructSAM, pixels: Pixels, prefix_ids: Sequence[int], protocol: InferenceProtocol
) -> Prefix:
    """Run Qwen3-VL's vision encoder and lay out what the language model is to read of the picture.

    Args:
        network: on the device of `pixels`.
        pixels: of one picture.
        prefix_ids: the prompt up to the instruction, image placeholders in place.
        protocol: decides the positions.
    """
    image_embeds, deepstack = network.encode_image(pixels)
    ids = torch.tensor([prefix_ids])
    is_image = ids == network.config.qwen.image_token_id
    if protocol.mrope:
        positions, _ = network.model.get_rope_index(
            ids, is_image.int(), image_grid_thw=pixels.grid_thw.cpu()
        )  # [3, 1, T]
    else:
        positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    embeds = network.model.language_model.embed_tokens(ids.to(network.device))[0]
    is_image_on_device = is_image[0].to(network.device)
    return Prefix(
        embeds=embeds.masked_scatter(is_image_on_device.unsqueeze(-1), image_embeds.to(embeds.dtype)),
        positions=positions[:, 0].to(network.device),
        next_position=int(positions.max()) + 1,
        is_image=is_image_on_device,
        deepstack=deepstack,
    )


def write_answer(
    network: InstructSAM,
    prefix: Prefix,
    instruction_ids: Sequence[int],
    *,
    stop_ids: Collection[int],
    max_new_tokens: int,
    protocol: InferenceProtocol,
    draft: Sequence[int] = (),
    guess: Callable[[Sequence[int]], Sequence[int]] = lambda _: (),
) -> Answer:
    """Answer greedily until a stop token or `max_new_tokens`, injecting the queries after every phrase.

    A draft or a guess costs one pass instead of one for each of its tokens, and changes nothing: as far as the model
    would have written it, it stands, and from there on the model writes (speculative decoding, Leviathan et al., 2023).
    Where one instruction stands over many frames the last answer is a draft, and is written anew only when the picture
    asks for another; where the answer copies words of the instruction they can be guessed, see `Lookup`.

    Args:
        network: on the device of `prefix`.
        prefix: of the picture; read if it has not been; its cache is extended, and cut back by the next call.
        instruction_ids: the prompt from the instruction on.
        stop_ids: tokens that end the answer.
        max_new_tokens: at most so many are written, injected ones not counted.
        protocol: decides positions and visibility of the injected blocks.
        draft: what the answer may be, as `Answer.token_ids` of an earlier one; empty for no idea but that it starts
            with a phrase.
        guess: gives what may come behind the tokens that are written so far; none if it has no idea.
    """
    reader = Reader(network, prefix, protocol)
    page = _Page(network.config.tokens, stop_ids, max_new_tokens)
    known: Sequence[int] = instruction_ids
    begun: tuple[int, ...] = ()  # what of that belongs to the answer
    guessed = tuple(draft or (network.config.tokens.ref_start,))[:max_new_tokens]
    while True:
        states, ends = reader.follow(known, guessed)
        said = network.lm_head(states).argmax(-1).tolist()
        accepted = next((n for n, token in enumerate(guessed) if token != said[n]), len(guessed))
        for token, end in zip((*begun, *guessed[:accepted]), ends[1 - len(begun) :], strict=False):
            page.write(token, end.queries)
        reader.rewind(ends[accepted])
        if not page.room:
            break
        token = said[accepted]
        if token in stop_ids:
            page.write(token, None)
            break
        known = begun = (token,)
        guessed = tuple(guess((*page.token_ids, *begun)))[: page.room - 1]
    bank = network.model.mask_queries
    return page.answer(bank.new_zeros(0, *bank.shape))


class _Page:
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

    def write(self, token: int, queries: Tensor | None) -> None:
        """Add a token, with the states [K, D] of the queries that are injected behind it if it ends a phrase."""
        end = len(self._written)
        self._written.append(token)
        if queries is not None and self._start < end:  # a phrase without a word cannot condition SAM3
            self._spans.append((self._start, end))
            self._query_states.append(queries)
        if token in (self._tokens.ref_start, self._tokens.ref_end):
            self._start = end + 1

    def answer(self, no_states: Tensor) -> Answer:
        """What was written; `no_states` [0, K, D] stands in where there is no phrase."""
        states = torch.stack(self._query_states) if self._query_states else no_states
        return Answer(tuple(self._written), tuple(self._spans), states)
