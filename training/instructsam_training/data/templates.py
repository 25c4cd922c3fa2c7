"""Templates of training questions: for one name, for text in the image, and for several names at once."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

PHRASE_QUESTIONS = (
    "Segment '{}'.",
    "Show me '{}'.",
    "Mark every '{}' that you can see.",
    "Where is '{}'? Give its mask.",
    "Which pixels belong to '{}'?",
    "Find '{}' and outline it.",
    "I need the mask of '{}'.",
)
TEXT_QUESTIONS = (
    "Segment the text '{}'.",
    "Where does it say '{}'?",
    "Mark the writing '{}'.",
    "Find the words '{}' and give their mask.",
    "Which pixels belong to the lettering '{}'?",
    "Show me where '{}' is written.",
    "I need the mask of the text that reads '{}'.",
)
MULTI_PHRASE_QUESTIONS = (
    'Segment {}.',
    'Show me {}.',
    'Mark {}, each with its own mask.',
    'Find {} and outline them.',
    'Where are {}? Give their masks.',
    'I need the masks of {}.',
    'Which pixels belong to {}?',
)


def ask_for_phrase(phrase: str, rng: Random) -> str:
    """Return a question that asks for one name."""
    return rng.choice(PHRASE_QUESTIONS).format(phrase)


def ask_for_text(text: str, rng: Random) -> str:
    """Return a question that asks for text in the image."""
    return rng.choice(TEXT_QUESTIONS).format(text)


def ask_for_phrases(phrases: Sequence[str], rng: Random) -> str:
    """Return a question that asks for several names at once, at least two."""
    quoted = [f"'{phrase}'" for phrase in phrases]
    return rng.choice(MULTI_PHRASE_QUESTIONS).format(f'{", ".join(quoted[:-1])} and {quoted[-1]}')
