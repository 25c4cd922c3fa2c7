"""`GroundedInstruction`: an instruction about a view, the phrases of its answer, and the target objects of each phrase.

Only unambiguous instructions are sampled: the answer needs no comparison within its margin, is the same with and
without the objects that are hardly visible, and has none of these among its targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import get_args

from instructsam_training.tabletop.language.phrasing import answer_phrase, instruction_text, multi_phrase_text
from instructsam_training.tabletop.language.query_samplers import SAMPLERS
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.language.scene_query import Predicate, QueryKind, SceneQuery
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.ground_truth import SceneObject, SceneView

NO_TARGET_PROBABILITY = 0.11
MULTI_PHRASE_KINDS: tuple[QueryKind, ...] = ('category', 'attribute', 'attribute', 'size', 'ordering')
MULTI_PHRASE_CONSTRUCTIONS = (
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
"""Kinds and constructions that instructions with several phrases are composed of."""
MAX_TRIES = 40
TRIVIAL_PROBABILITY = 0.2
"""Probability to keep a query with more words than are needed to identify its targets."""


@dataclass(frozen=True)
class GroundedPhrase:
    """One phrase of an answer.

    Attributes:
        phrase: the phrase that the model should write.
        targets: labels of its target objects, in ascending order; empty if there are none.
    """

    phrase: str
    targets: tuple[int, ...]


@dataclass(frozen=True)
class GroundedInstruction:
    """One instruction.

    Attributes:
        kind: what has to be understood to answer it.
        text: the instruction.
        parts: phrases of the answer: one, or more for the kind 'several'.
    """

    kind: QueryKind
    text: str
    parts: tuple[GroundedPhrase, ...]

    @property
    def phrase(self) -> str:
        """All phrases of the answer, joined by commas."""
        return ', '.join(part.phrase for part in self.parts)

    @property
    def targets(self) -> tuple[int, ...]:
        """Labels of all target objects."""
        return tuple(sorted(chain.from_iterable(part.targets for part in self.parts)))


def sample_instructions(view: SceneView, rng: Random, split: Split, count: int) -> list[GroundedInstruction]:
    """Sample instructions with different phrases, cycling through the kinds.

    Args:
        view: the image with its ground truth.
        rng: source of randomness.
        split: whose wordings to use; the splits share none.
        count: largest number of instructions; there are fewer if the view offers too little.
    """
    layout = SceneLayout(view)
    if not layout.clearly_visible:
        return []
    kinds: list[QueryKind] = [kind for kind in get_args(QueryKind) if kind != 'none']
    rng.shuffle(kinds)
    by_phrase: dict[str, GroundedInstruction] = {}
    failures = 0
    while len(by_phrase) < count and failures <= len(kinds):
        kind: QueryKind = 'none' if rng.random() < NO_TARGET_PROBABILITY else kinds[0]
        instruction = _sample_of_kind(kind, layout, rng, split)
        # The kind goes to the end of the queue, whether or not an instruction was found.
        if kind == kinds[0]:
            kinds.append(kinds.pop(0))
        if instruction is None or instruction.phrase in by_phrase:
            failures += 1
            continue
        by_phrase[instruction.phrase] = instruction
    return list(by_phrase.values())


def find_targets(predicate: Predicate, layout: SceneLayout) -> tuple[SceneObject, ...] | None:
    """Return the objects that a predicate selects; None if that is ambiguous."""
    # Hardly visible objects may or may not count for the reader: the answer must be the same both ways.
    of_all, of_visible = _select(predicate, layout.objects), _select(predicate, layout.clearly_visible)
    return of_visible if of_all == of_visible else None


def _select(predicate: Predicate, universe: Sequence[SceneObject]) -> tuple[SceneObject, ...] | None:
    values = [predicate(obj, universe) for obj in universe]
    if None in values:
        return None
    return tuple(obj for obj, is_target in zip(universe, values, strict=True) if is_target)


def _sample_of_kind(kind: QueryKind, layout: SceneLayout, rng: Random, split: Split) -> GroundedInstruction | None:
    for _ in range(MAX_TRIES):
        if kind == 'several':
            instruction = _sample_multi_phrase(layout, rng, split)
        else:
            found = sample_unambiguous_query(kind, layout, rng)
            instruction = found and _single_phrase(kind, *found, rng, split)
        if instruction is not None:
            return instruction
    return None


def _single_phrase(
    kind: QueryKind, query: SceneQuery, targets: tuple[SceneObject, ...], rng: Random, split: Split
) -> GroundedInstruction:
    labels = tuple(obj.label for obj in targets)
    is_plural = sample_plural(query, targets, rng)
    part = GroundedPhrase(answer_phrase(query, is_plural=is_plural), labels)
    return GroundedInstruction(kind, instruction_text(query, split, rng, is_plural=is_plural), (part,))


def _sample_multi_phrase(layout: SceneLayout, rng: Random, split: Split) -> GroundedInstruction | None:
    """Sample two or three queries with disjoint targets; None if one of them cannot be combined."""
    parts: list[GroundedPhrase] = []
    for _ in range(rng.choice((2, 2, 2, 3))):
        found = sample_unambiguous_query(rng.choice(MULTI_PHRASE_KINDS), layout, rng)
        if found is None or found[0].construction not in MULTI_PHRASE_CONSTRUCTIONS:
            return None
        query, targets = found
        phrase = answer_phrase(query, is_plural=sample_plural(query, targets, rng))
        parts.append(GroundedPhrase(phrase, tuple(obj.label for obj in targets)))
    # Phrases that share a target would need one mask twice.
    labels = [label for part in parts for label in part.targets]
    if len(set(labels)) < len(labels):
        return None
    text = multi_phrase_text([part.phrase for part in parts], split, rng)
    return GroundedInstruction('several', text, tuple(parts))


def sample_unambiguous_query(
    kind: QueryKind, layout: SceneLayout, rng: Random
) -> tuple[SceneQuery, tuple[SceneObject, ...]] | None:
    """Sample a query with its targets; None if these are ambiguous or do not suit the kind."""
    query = rng.choice(SAMPLERS[kind])(layout, rng)
    targets = None if query is None else find_targets(query.predicate, layout)
    if query is None or targets is None or (kind == 'none') != (not targets):
        return None
    superset = None if query.superset is None else find_targets(query.superset, layout)
    if kind == 'none':
        # "The bowl on the box" is only missing if there are bowls elsewhere.
        return None if query.superset is not None and not superset else (query, targets)
    # "The mug" needs exactly one target.
    if query.count not in (None, len(targets)):
        return None
    return None if superset == targets and rng.random() > TRIVIAL_PROBABILITY else (query, targets)


def sample_plural(query: SceneQuery, targets: Sequence[SceneObject], rng: Random) -> bool:
    """Choose the grammatical number: that of the targets, or a random one if there are none."""
    if query.is_plural or len(targets) > 1:
        return True
    return not targets and query.count is None and rng.random() < 0.2
