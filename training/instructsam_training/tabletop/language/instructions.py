"""`Question`: an instruction about a view, the phrases of its answer, and the things each of them means.

Only what is beyond doubt is asked: no comparison within its margin is needed for the answer, which is the same whether
or not things count of which little is visible, and none of these is among its targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import get_args

from instructsam_training.tabletop.language.phrasing import phrase_of, several_text, text_of
from instructsam_training.tabletop.language.query_samplers import DRAWS
from instructsam_training.tabletop.language.scene_layout import Layout
from instructsam_training.tabletop.language.scene_query import Kind, Meaning, Request
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.ground_truth import Thing, View

NONE_SHARE = 0.11
SEVERAL_KINDS: tuple[Kind, ...] = ('category', 'attribute', 'attribute', 'size', 'ordering')
SEVERAL_CONSTRUCTIONS = (
    'one',
    'all',
    'such',
    'anything such',
    'largest',
    'smallest',
    'tallest',
    'leftmost',
    'rightmost',
)
"""What a question for several things is put together from."""
TRIES = 40
TRIVIAL_SHARE = 0.2
"""How often something may be asked in more words than are needed to tell it from the others."""


@dataclass(frozen=True)
class Part:
    """One phrase of an answer.

    Attributes:
        phrase: as the model shall write it.
        targets: labels of the things it means, in order; empty when there are none.
    """

    phrase: str
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """One instruction.

    Attributes:
        kind: what has to be understood to answer it.
        text: the instruction.
        parts: one, or of the kind 'several' more.
    """

    kind: Kind
    text: str
    parts: tuple[Part, ...]

    @property
    def phrase(self) -> str:
        """All phrases of the answer."""
        return ', '.join(part.phrase for part in self.parts)

    @property
    def targets(self) -> tuple[int, ...]:
        """Labels of all things that answer it."""
        return tuple(sorted(chain.from_iterable(part.targets for part in self.parts)))


def questions(view: View, rng: Random, split: Split, count: int) -> list[Question]:
    """Up to `count` questions about a view, kinds in turn, no phrase twice; fewer where there is little to ask.

    Args:
        view: the picture and its facts.
        rng: decides what is asked.
        split: whose wordings to use; no wording is in both.
        count: at most so many.
    """
    layout = Layout(view)
    if not layout.clear:
        return []
    kinds: list[Kind] = [kind for kind in get_args(Kind) if kind != 'none']
    rng.shuffle(kinds)
    asked: dict[str, Question] = {}
    failures = 0
    while len(asked) < count and failures <= len(kinds):
        kind: Kind = 'none' if rng.random() < NONE_SHARE else kinds[0]
        question = _ask(kind, layout, rng, split)
        if kind == kinds[0]:
            kinds.append(kinds.pop(0))
        if question is None or question.phrase in asked:
            failures += 1
            continue
        asked[question.phrase] = question
    return list(asked.values())


def answer(meaning: Meaning, layout: Layout) -> tuple[Thing, ...] | None:
    """The things that are meant, as anybody would say; None where people might differ."""
    every, seen = _those(meaning, layout.things), _those(meaning, layout.clear)
    return seen if every == seen else None


def _those(meaning: Meaning, universe: Sequence[Thing]) -> tuple[Thing, ...] | None:
    verdicts = [meaning(thing, universe) for thing in universe]
    if None in verdicts:
        return None
    return tuple(thing for thing, is_meant in zip(universe, verdicts, strict=True) if is_meant)


def _ask(kind: Kind, layout: Layout, rng: Random, split: Split) -> Question | None:
    for _ in range(TRIES):
        if kind == 'several':
            question = _several(layout, rng, split)
        else:
            found = settled(kind, layout, rng)
            question = found and _single(kind, *found, rng, split)
        if question is not None:
            return question
    return None


def _single(kind: Kind, request: Request, targets: tuple[Thing, ...], rng: Random, split: Split) -> Question:
    labels = tuple(thing.label for thing in targets)
    is_plural = is_plural_of(request, targets, rng)
    part = Part(phrase_of(request, is_plural=is_plural), labels)
    return Question(kind, text_of(request, split, rng, is_plural=is_plural), (part,))


def _several(layout: Layout, rng: Random, split: Split) -> Question | None:
    parts: list[Part] = []
    for _ in range(rng.choice((2, 2, 2, 3))):
        found = settled(rng.choice(SEVERAL_KINDS), layout, rng)
        if found is None or found[0].construction not in SEVERAL_CONSTRUCTIONS:
            return None
        request, targets = found
        phrase = phrase_of(request, is_plural=is_plural_of(request, targets, rng))
        parts.append(Part(phrase, tuple(thing.label for thing in targets)))
    labels = [label for part in parts for label in part.targets]
    if len(set(labels)) < len(labels):
        return None
    return Question('several', several_text([part.phrase for part in parts], split, rng), tuple(parts))


def settled(kind: Kind, layout: Layout, rng: Random) -> tuple[Request, tuple[Thing, ...]] | None:
    """Draw a request, and its answer if that is beyond doubt and as the kind wants it."""
    request = rng.choice(DRAWS[kind])(layout, rng)
    targets = None if request is None else answer(request.meaning, layout)
    if request is None or targets is None or (kind == 'none') != (not targets):
        return None
    wider = None if request.wider is None else answer(request.wider, layout)
    if kind == 'none':
        # A bowl on the box is missed where there are bowls elsewhere.
        return None if request.wider is not None and not wider else (request, targets)
    if request.count not in (None, len(targets)):
        return None
    return None if wider == targets and rng.random() > TRIVIAL_SHARE else (request, targets)


def is_plural_of(request: Request, targets: Sequence[Thing], rng: Random) -> bool:
    """Whether to speak of several things; where there are none, either will do."""
    if request.is_plural or len(targets) > 1:
        return True
    return not targets and request.count is None and rng.random() < 0.2
