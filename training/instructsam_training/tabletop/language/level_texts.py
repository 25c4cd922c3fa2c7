"""`LeveledTarget`: objects of a view with texts of the three levels of SAM3-I (arXiv 2512.04585).

A concept is the name of a category; a simple instruction contains it, and says which of the category are meant; a
complex instruction says the same without it, by a use ("the largest thing to drink from") or by looks and places alone.
All instructions of a target select exactly its objects, as `instructions` understands them. The concept selects all
objects of the category.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from instructsam_training.datasets.hmpl.naming import names_any
from instructsam_training.tabletop.language.instructions import (
    NO_TARGET_PROBABILITY,
    find_targets,
    sample_plural,
    sample_unambiguous_query,
)
from instructsam_training.tabletop.language.nouns import ANYTHING, USES, Noun, UseNoun
from instructsam_training.tabletop.language.phrasing import instruction_text
from instructsam_training.tabletop.language.query_builders import category_query, count_members, use_query
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.language.scene_query import QueryKind, SceneQuery
from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.scene.ground_truth import SceneObject, SceneView

MAX_TRIES = 40
TEXTS = 3
"""Largest number of texts of a level."""
LEVELED_KINDS: tuple[QueryKind, ...] = ('category', 'attribute', 'size', 'relation', 'ordering', 'counting')
"""Kinds of targets with names. Of the others, `function` is the complex form of `category`, those of `exclusion` and
`several` may have no category in common, and `none` is drawn apart."""
Objects = tuple[SceneObject, ...]


@dataclass(frozen=True)
class LeveledTarget:
    """One target with its texts.

    Attributes:
        kind: what has to be understood to find it.
        targets: labels of its objects, in ascending order; empty if there are none.
        concept: name of the category.
        simple, complex: different instructions, at least one of each.
    """

    kind: QueryKind
    targets: tuple[int, ...]
    concept: str
    simple: tuple[str, ...]
    complex: tuple[str, ...]


def sample_leveled(view: SceneView, rng: Random, split: Split, count: int) -> list[LeveledTarget]:
    """Sample different targets, cycling through the kinds.

    Args:
        view: the image with its ground truth.
        rng: source of randomness.
        split: whose wordings to use; the splits share none.
        count: largest number of targets; there are fewer if the view offers too little.
    """
    layout = SceneLayout(view)
    if not layout.clearly_visible:
        return []
    kinds: list[QueryKind] = [*LEVELED_KINDS]
    rng.shuffle(kinds)
    found: dict[object, LeveledTarget] = {}
    failures = 0
    while len(found) < count and failures <= 2 * len(kinds):
        kind: QueryKind = 'none' if rng.random() < NO_TARGET_PROBABILITY else kinds[0]
        kinds.append(kinds.pop(0))
        target = _sample_of_kind(kind, layout, rng, split)
        # One target may be asked for in two ways, but then with other words.
        key = target and (target.targets, target.kind, target.concept)
        if target is None or key in found:
            failures += 1
            continue
        found[key] = target
    return list(found.values())


def _sample_of_kind(kind: QueryKind, layout: SceneLayout, rng: Random, split: Split) -> LeveledTarget | None:
    for _ in range(MAX_TRIES):
        sampled = sample_unambiguous_query(kind, layout, rng)
        if sampled is None:
            continue
        query, targets = sampled
        named = _named(query, targets, layout)
        if named is None:
            continue
        heads = _class_names(named.noun, targets)
        simple = [text for text in _texts([named], targets, rng, split) if names_any(text, heads)]
        indirect = [*_indirect(named, targets, layout, rng, split)]
        complex_ = [text for text in _texts(indirect, targets, rng, split) if not names_any(text, heads)]
        if simple and complex_:
            concept = named.noun.bare.words(plural=count_members(named.noun.bare, layout) > 1)
            return LeveledTarget(kind, tuple(obj.label for obj in targets), concept, tuple(simple), tuple(complex_))
    return None


def _named(query: SceneQuery, targets: Objects, layout: SceneLayout) -> SceneQuery | None:
    """Return the query with the category of its targets as name; None if it has no name, or then means others."""
    if query.with_noun is not None and query.noun.head != ANYTHING:
        return query
    categories = {obj.category for obj in targets}
    if len(categories) != 1:
        return None
    if query.construction == 'use':
        named: SceneQuery | None = category_query(Noun(*categories), len(targets) > 1)
    else:
        named = query.with_noun and query.with_noun(replace(query.noun, head=categories.pop()))
    return named if named is not None and _selects(named, targets, layout) else None


def _indirect(
    query: SceneQuery, targets: Objects, layout: SceneLayout, rng: Random, split: Split
) -> Iterator[SceneQuery]:
    """Yield queries for the same targets that do not name their category."""
    categories = {obj.category for obj in targets} or {query.noun.head}
    uses = [use for use in USES if categories <= use.categories]
    is_whole = query.construction in ('one', 'all')
    candidates: list[SceneQuery | None] = [use_query(use) for use in uses] if is_whole else []
    nouns: list[Noun] = [] if is_whole else [replace(query.noun, head=ANYTHING)]
    for use in uses:
        verb = rng.choice(use.train if split == 'train' else use.test)
        nouns.append(UseNoun(ANYTHING, query.noun.color, query.noun.material, use=use, verb=verb))
    assert query.with_noun is not None
    candidates += [query.with_noun(noun) for noun in nouns]
    yield from (each for each in candidates if each is not None and _selects(each, targets, layout))


def _selects(query: SceneQuery, targets: Objects, layout: SceneLayout) -> bool:
    """Whether a query selects exactly these objects, without doubt, and says the right number of them."""
    return find_targets(query.predicate, layout) == targets and (not targets or query.count in (None, len(targets)))


def _texts(queries: Sequence[SceneQuery], targets: Objects, rng: Random, split: Split) -> list[str]:
    """Draw up to `TEXTS` different instructions."""
    if not queries:
        return []
    chosen = [rng.choice(queries) for _ in range(TEXTS)]
    drawn = [instruction_text(each, split, rng, is_plural=sample_plural(each, targets, rng)) for each in chosen]
    return list(dict.fromkeys(drawn))


def _class_names(noun: Noun, targets: Objects) -> list[str]:
    heads = {noun.head, *(obj.category for obj in targets)}
    return [Noun(head).words(plural=plural) for head in sorted(heads) for plural in (False, True)]
