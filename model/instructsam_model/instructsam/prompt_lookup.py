"""`PromptLookup`: draft tokens of an answer, copied from its instruction (prompt-lookup decoding; Saxena, 2023).

Most phrases repeat words of the instruction: "red mug left of the bowl" for "Segment the red mug left of the bowl."
One pass of the language model tells how far a draft is right, so an answer that is foreseen whole takes one pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice, takewhile

MAX_COPIED_TOKENS = 8
"""Behind a word of the answer; a token that is wrong costs little more than no draft, but not nothing."""
MAX_PHRASE_TOKENS = 24
"""Of a phrase that is foreseen before a word of it is written."""
MATCH_WINDOW = 12
"""Tokens that are compared, to tell the places apart where a word stands more than once."""
SEPARATOR = ', '
"""Between the phrases of an answer."""

QUOTED = re.compile('(?<!\\w)[\'"\u2018\u201c](.+?)[\'"\u2019\u201d](?!\\w)')
LISTED = re.compile(r',? and |, ?')
COMMAND = re.compile(
    r'(?:please |(?:can|could|would|will) you (?:please )?)*'
    r'(?:segment|find|locate|mark|detect|highlight|show(?: me)?|pick up|grasp|grab|(?:give|hand|pass|bring) me)'
    r' (?:(?:all|every|each|both) )?(?:the |a |an |any )?(?P<phrase>[^,.;:!?]+)',
    re.IGNORECASE,
)
PLACE = re.compile(r' (?:in|on|from) (?:the|this) (?:image|picture|photo|scene)$', re.IGNORECASE)


ARTICLES = re.compile(r'\b(?:the|an?) ', re.IGNORECASE)


class PhraseStyle:
    """How a checkpoint writes the phrases that an instruction names: as they are, or without articles.

    Told of each answer, it foresees the next one likewise; nothing, while the last one was written some other way.
    """

    STYLES: tuple[Callable[[str], str], ...] = (str, lambda phrase: ARTICLES.sub('', phrase))

    def __init__(self) -> None:
        self._style: Callable[[str], str] | None = self.STYLES[0]

    def foresee(self, instruction: str) -> list[str]:
        """The phrases of the answer, as far as the instruction names them."""
        if self._style is None:
            return []
        return [self._style(phrase) for phrase in named_phrases(instruction)]

    def learn(self, instruction: str, phrases: Sequence[str]) -> None:
        """Remember how an instruction was answered."""
        if named := named_phrases(instruction):
            written = list(phrases)
            self._style = next((style for style in self.STYLES if [*map(style, named)] == written), None)


@dataclass(frozen=True)
class AnswerTokens:
    """The special tokens of an answer.

    Attributes:
        phrase_start, phrase_end: around each phrase.
        stop: behind the last one.
    """

    phrase_start: int
    phrase_end: int
    stop: int


class PromptLookup:
    """Proposes how an answer goes on.

    Words are compared as text, in any case, for the first word of a phrase is made of other tokens than the same word
    within a sentence.

    Args:
        text: the instruction.
        phrases: that it is expected to be answered with; none where nobody knows.
        special: tokens of an answer.
        encode: token ids of text.
        decode: text of a token.
    """

    def __init__(
        self,
        text: str,
        phrases: Sequence[str],
        special: AnswerTokens,
        encode: Callable[[str], Sequence[int]],
        decode: Callable[[int], str],
    ) -> None:
        self._text = text
        self._phrases = phrases
        self._special = special
        self._encode = encode
        self._decode = decode

    def propose(self, written_ids: Sequence[int]) -> tuple[int, ...]:
        """Draft tokens behind those that are written; none if the instruction does not have the last word."""
        special, written = self._special, tuple(written_ids)
        if self._foreseen and self._foreseen[: len(written)] == written:
            return self._foreseen[len(written) :]
        if not written:
            return (special.phrase_start,)
        if written[-1] == special.phrase_end:
            return (special.stop,)
        copied = self._copy(written)
        if copied is None:
            return ()
        return copied if len(copied) == MAX_COPIED_TOKENS else (*copied, special.phrase_end, special.stop)

    @cached_property
    def _foreseen(self) -> tuple[int, ...]:
        """The whole answer, where its phrases are expected; else nothing."""
        phrases = [tuple(self._encode(phrase)) for phrase in self._phrases]
        if not phrases or max(map(len, phrases)) > MAX_PHRASE_TOKENS:
            return ()
        separator, special = self._encode(SEPARATOR), self._special
        answer: list[int] = []
        for number, ids in enumerate(phrases):
            answer += [*(separator if number else []), special.phrase_start, *ids, special.phrase_end]
        return (*answer, special.stop)

    def _copy(self, written_ids: tuple[int, ...]) -> tuple[int, ...] | None:
        """What follows the last written word in the instruction, up to a mark; None where it does not have the word."""
        written = ''.join(map(self._lower, written_ids[-MATCH_WINDOW:]))
        word = re.search(r'\w*$', written)[0]  # type: ignore[index]  # which is there, empty or not
        ends_with_word = re.compile(rf'\b{re.escape(word)}$').search
        places = [place for place, text in enumerate(self._texts) if word and ends_with_word(text)]
        if not places:
            return None
        best = max(places, key=lambda place: _common_suffix(self._texts[place], written))
        following = islice(zip(self._text_ids, self._spelled, strict=True), best + 1, None)
        return tuple(token for token, _ in takewhile(lambda pair: not _is_mark(pair[1]), following))[:MAX_COPIED_TOKENS]

    @cached_property
    def _text_ids(self) -> tuple[int, ...]:
        return tuple(self._encode(self._text))

    @cached_property
    def _spelled(self) -> list[str]:
        """Each token as text, when first asked for, since most drafts stand."""
        return [self._lower(token) for token in self._text_ids]

    @cached_property
    def _texts(self) -> list[str]:
        """The text up to each token."""
        return list(accumulate(self._spelled))

    def _lower(self, token: int) -> str:
        return self._decode(token).lower()


def named_phrases(text: str) -> list[str]:
    """The phrases that an instruction names outright: in quotes, or as the object of a command; else none.

    They are cleaned as in the method's training: no space around, no capital at the start, no period at the end.
    """
    if quoted := QUOTED.search(text):
        named = quoted[1]
    elif command := COMMAND.match(text.strip()):
        named = PLACE.sub('', command['phrase'].strip())
    else:
        return []
    parts = [part.strip().removesuffix('.') for part in LISTED.split(named)]
    return [part[0].lower() + part[1:] for part in parts if part]


def _is_mark(text: str) -> bool:
    """Whether it is punctuation: neither a word nor a space."""
    return bool(re.fullmatch(r'\s*[^\w\s]+\s*', text))


def _common_suffix(one: str, other: str) -> int:
    """How many of the last characters are the same."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((count for count, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(one), len(other)))
