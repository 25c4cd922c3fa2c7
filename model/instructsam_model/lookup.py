"""`Lookup`: how an answer may go on, copied from the instruction.

Most phrases repeat words of the instruction: "the red mug left of the bowl" for "Segment the red mug left of the bowl."
What follows the last written word there is a good guess of what the model writes next, and one pass tells how far it is
right (prompt lookup decoding; Saxena, 2023).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate, islice, takewhile

LONGEST_GUESS = 8
"""Tokens; one that is wrong costs little more than no guess, but not nothing."""
CONTEXT = 12
"""Tokens that are compared, to tell the places apart where a word stands more than once."""


class Lookup:
    """Guesses how an answer goes on.

    Words are compared as text, in any case, for the first word of a phrase is made of other tokens than the same word
    within a sentence.

    Args:
        text_ids: token ids of the instruction's own text.
        phrase_end: the token that closes a phrase; where the text has a mark or ends, so may the phrase.
        spell: the text of a token.
    """

    def __init__(self, text_ids: Sequence[int], phrase_end: int, spell: Callable[[int], str]) -> None:
        self._text_ids = text_ids
        self._phrase_end = phrase_end
        self._spell = spell

    def after(self, written_ids: Sequence[int]) -> tuple[int, ...]:
        """What may come behind the tokens that are written; none if the instruction does not have the last word."""
        written = ''.join(map(self._lower, written_ids[-CONTEXT:]))
        word = re.search(r'\w*$', written)[0]  # type: ignore[index]  # which is there, empty or not
        ends_with_word = re.compile(rf'\b{re.escape(word)}$').search
        places = [place for place, text in enumerate(self._texts) if word and ends_with_word(text)]
        if not places:
            return ()
        best = max(places, key=lambda place: _shared_end(self._texts[place], written))
        following = islice(zip(self._text_ids, self._spelt, strict=True), best + 1, None)
        words = [token for token, _ in takewhile(lambda pair: not _is_mark(pair[1]), following)]
        return (*words, self._phrase_end)[:LONGEST_GUESS]

    @cached_property
    def _spelt(self) -> list[str]:
        """Each token, spelt when first asked for, since most drafts stand."""
        return [self._lower(token) for token in self._text_ids]

    @cached_property
    def _texts(self) -> list[str]:
        """The text up to each token."""
        return list(accumulate(self._spelt))

    def _lower(self, token: int) -> str:
        return self._spell(token).lower()


def _is_mark(text: str) -> bool:
    """Whether it is punctuation: neither a word nor a space."""
    return bool(re.fullmatch(r'\s*[^\w\s]+\s*', text))


def _shared_end(one: str, other: str) -> int:
    """How many of the last characters are the same."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((count for count, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(one), len(other)))
