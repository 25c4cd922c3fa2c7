"""`PromptLookup`: draft tokens copied from the instruction (prompt-lookup decoding; Saxena, 2023).

Most phrases repeat words of the instruction: "red mug left of the bowl" for "Segment the red mug left of the bowl."
One forward pass verifies a whole draft, so an answer that is predicted completely takes one pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice, takewhile

MAX_COPIED_TOKENS = 8
"""Draft tokens copied after a matching word; each rejected token costs a little time."""
MAX_PHRASE_TOKENS = 24
"""Longest phrase that is predicted before any of its words is generated."""
MATCH_WINDOW = 12
"""Generated tokens that are compared with the instruction if the last word occurs in it several times."""
SEPARATOR = ', '
"""Between two phrases of an answer."""

QUOTED = re.compile('(?<!\\w)[\'"\u2018\u201c](.+?)[\'"\u2019\u201d](?!\\w)')
LISTED = re.compile(r',? and |, ?')
COMMAND = re.compile(
    r'(?:please |(?:can|could|would|will) you (?:please )?)*'
    r'(?:segment|find|locate|mark|detect|highlight|show(?: me)?|pick up|grasp|grab|(?:give|hand|pass|bring) me)'
    r' (?:(?:all|every|each|both) )?(?:the |a |an |any )?(?P<phrase>[^,.;:!?]+)',
    re.IGNORECASE,
)
IN_THE_IMAGE = re.compile(r' (?:in|on|from) (?:the|this) (?:image|picture|photo|scene)$', re.IGNORECASE)
ARTICLES = re.compile(r'\b(?:the|an?) ', re.IGNORECASE)


class PhraseStyle:
    """How a checkpoint writes the phrases that an instruction names: unchanged, or without articles.

    Predicts the next answer in the style of the last one, and nothing if the last one had neither style.
    """

    STYLES: tuple[Callable[[str], str], ...] = (str, lambda phrase: ARTICLES.sub('', phrase))

    def __init__(self) -> None:
        self._style: Callable[[str], str] | None = self.STYLES[0]

    def predict(self, instruction: str) -> list[str]:
        """Return the phrases that the answer is expected to have; empty if the instruction names none."""
        if self._style is None:
            return []
        return [self._style(phrase) for phrase in named_phrases(instruction)]

    def update(self, instruction: str, phrases: Sequence[str]) -> None:
        """Learn the style from an instruction and the phrases of its answer."""
        if named := named_phrases(instruction):
            generated = list(phrases)
            self._style = next((style for style in self.STYLES if [*map(style, named)] == generated), None)


@dataclass(frozen=True)
class AnswerTokens:
    """The special tokens of an answer.

    Attributes:
        phrase_start: before each phrase.
        phrase_end: after each phrase.
        stop: at the end of the answer.
    """

    phrase_start: int
    phrase_end: int
    stop: int


class PromptLookup:
    """Proposes the tokens that follow in an answer.

    Words are compared as lower-case text, not as tokens, because a word at the start of a phrase has other tokens than
    the same word within a sentence.

    Args:
        text: the instruction.
        phrases: that the answer is expected to have, see `PhraseStyle`; empty if unknown.
        special: tokens of an answer.
        encode: returns the token ids of a text.
        decode: returns the text of a token.
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

    def propose(self, generated_ids: Sequence[int]) -> tuple[int, ...]:
        """Return draft tokens that may follow the generated ones; empty if there is no match in the instruction."""
        special, generated = self._special, tuple(generated_ids)
        # 1. The expected answer, as long as the generated tokens agree with it.
        if self._expected_answer and self._expected_answer[: len(generated)] == generated:
            return self._expected_answer[len(generated) :]
        # 2. Tokens that almost always come at these places.
        if not generated:
            return (special.phrase_start,)
        if generated[-1] == special.phrase_end:
            return (special.stop,)
        # 3. The words that follow the last generated word in the instruction; a short copy probably ends the phrase.
        copied = self._copy_after(generated)
        if copied is None:
            return ()
        return copied if len(copied) == MAX_COPIED_TOKENS else (*copied, special.phrase_end, special.stop)

    @cached_property
    def _expected_answer(self) -> tuple[int, ...]:
        """Tokens of the whole answer with the expected phrases; empty without any, or if one is too long."""
        phrases = [tuple(self._encode(phrase)) for phrase in self._phrases]
        if not phrases or max(map(len, phrases)) > MAX_PHRASE_TOKENS:
            return ()
        separator, special = self._encode(SEPARATOR), self._special
        answer: list[int] = []
        for number, ids in enumerate(phrases):
            answer += [*(separator if number else []), special.phrase_start, *ids, special.phrase_end]
        return (*answer, special.stop)

    def _copy_after(self, generated_ids: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the instruction's tokens after the last generated word, up to punctuation; None without a match."""
        generated = ''.join(map(self._lower, generated_ids[-MATCH_WINDOW:]))
        word = re.search(r'\w*$', generated)[0]  # type: ignore[index]  # always matches, possibly the empty string
        ends_with_word = re.compile(rf'\b{re.escape(word)}$').search
        # Indices of tokens of the instruction with which an occurrence of the word ends.
        matches = [index for index, text in enumerate(self._prefixes) if word and ends_with_word(text)]
        if not matches:
            return None
        # Of several occurrences the one whose preceding text agrees best with the generated text.
        best = max(matches, key=lambda index: _common_suffix_length(self._prefixes[index], generated))
        following = islice(zip(self._text_ids, self._token_texts, strict=True), best + 1, None)
        words = takewhile(lambda pair: not _is_punctuation(pair[1]), following)
        return tuple(token for token, _ in words)[:MAX_COPIED_TOKENS]

    @cached_property
    def _text_ids(self) -> tuple[int, ...]:
        return tuple(self._encode(self._text))

    @cached_property
    def _token_texts(self) -> list[str]:
        """The text of each token; computed on first use, because most answers need only `_expected_answer`."""
        return [self._lower(token) for token in self._text_ids]

    @cached_property
    def _prefixes(self) -> list[str]:
        """The text of the instruction up to and including each token."""
        return list(accumulate(self._token_texts))

    def _lower(self, token: int) -> str:
        return self._decode(token).lower()


def named_phrases(text: str) -> list[str]:
    """Return the phrases that an instruction names explicitly: in quotes, or as the object of a command; else none.

    They are normalized as in the method's training: no surrounding space, first letter lower case, no final period.
    """
    if quoted := QUOTED.search(text):
        named = quoted[1]
    elif command := COMMAND.match(text.strip()):
        named = IN_THE_IMAGE.sub('', command['phrase'].strip())
    else:
        return []
    parts = [part.strip().removesuffix('.') for part in LISTED.split(named)]
    return [part[0].lower() + part[1:] for part in parts if part]


def _is_punctuation(text: str) -> bool:
    """Return whether a token is punctuation: neither a word nor white space."""
    return bool(re.fullmatch(r'\s*[^\w\s]+\s*', text))


def _common_suffix_length(one: str, other: str) -> int:
    """Count the characters that both texts have in common at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((count for count, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(one), len(other)))
