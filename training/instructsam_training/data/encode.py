"""Tokenization of conversations, with labels for the tokens that the model generates.

These are supervised: phrases with their delimiters, `mask_start`, the words between spans and the end of the turn. The
queries and `mask_end` are injected at inference, so the model need not predict them.

Notation: T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS, Preprocessor
from instructsam_model.instructsam.prompt_lookup import SEPARATOR
from instructsam_training.data.conversation import Turn

IGNORED = -100
"""Label of a token that is not supervised; the default of torch's cross entropy."""


@dataclass(frozen=True)
class Encoding:
    """A conversation about one image, as tokens.

    Attributes:
        input_ids: T token ids.
        labels: T, the token if it is supervised, else `IGNORED`.
        phrase_ids: the tokens of each span's phrase, without delimiters, at most `MAX_PHRASE_TOKENS`.
        segment_ids: T, 0 on the image, then 1, 2, ... on the questions with their answers.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    phrase_ids: tuple[tuple[int, ...], ...]
    segment_ids: tuple[int, ...]


def encode_conversation(
    turns: Iterable[Turn],
    image_prefix: Sequence[int],
    preprocessor: Preprocessor,
    config: ModelConfig,
    *,
    independent: bool = False,
) -> Encoding:
    """Encode a conversation.

    Args:
        turns: questions with the phrases of their answers.
        image_prefix: the prompt up to the first question, image placeholders in place.
        preprocessor: for the tokenizer.
        config: for the special tokens and K.
        independent: the questions do not attend to each other, so each has the prompt of a first question.
    """
    prompt = preprocessor.prompt
    ids: list[int] = list(image_prefix)
    labels: list[int] = [IGNORED] * len(ids)
    phrases: list[tuple[int, ...]] = []
    segment_ids: list[int] = [0] * len(ids)
    for index, turn in enumerate(turns):
        # 1. The question; it continues the conversation unless it is the first, or independent of the others.
        separator = list(prompt.next_question) if index and not independent else []
        question = [*separator, *preprocessor.instruction(turn.question)]
        # 2. The answer: text without masks, or spans with injected queries.
        if turn.text:
            answer = preprocessor.text(turn.text)
            supervised = [True] * len(answer)
        else:
            answer, supervised = _answer([span.phrase for span in turn.spans], preprocessor, config)
        # 3. The end of the turn, of which only the first token is generated.
        end = prompt.answer_end
        ids += [*question, *answer, *end]
        labels += [IGNORED] * len(question)
        labels += [token if kept else IGNORED for token, kept in zip(answer, supervised, strict=True)]
        labels += [end[0], *[IGNORED] * (len(end) - 1)]
        phrases += [tuple(preprocessor.text(span.phrase)[:MAX_PHRASE_TOKENS]) for span in turn.spans]
        segment_ids += [index + 1] * (len(ids) - len(segment_ids))
    return Encoding(tuple(ids), tuple(labels), tuple(phrases), tuple(segment_ids))


def _answer(phrases: Sequence[str], preprocessor: Preprocessor, config: ModelConfig) -> tuple[list[int], list[bool]]:
    """Return the tokens of an answer, and for each whether it is supervised."""
    tokens = config.tokens
    injected = [*[tokens.query] * config.num_queries, tokens.mask_end]
    ids: list[int] = []
    supervised: list[bool] = []
    for index, phrase in enumerate(phrases):
        separator = preprocessor.text(SEPARATOR) if index else []
        # Text that the model generates, then tokens that inference injects.
        generated = [*separator, tokens.ref_start, *preprocessor.text(phrase), tokens.ref_end, tokens.mask_start]
        ids += [*generated, *injected]
        supervised += [True] * len(generated) + [False] * len(injected)
    return ids, supervised
