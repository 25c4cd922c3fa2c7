"""`Noun` and `Use`: how things are named, and what they are good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instructsam_training.tabletop.language.ternary_logic import Verdict, conjunction
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import Thing

ANYTHING = 'thing'
"""Head of a noun that fits every thing."""
GROUPS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    'tool': (frozenset({'hammer', 'screwdriver', 'wrench'}), frozenset({'knife'})),
    'fruit': (frozenset({'apple', 'banana'}), frozenset()),
}
"""Heads with several categories: those that are, and those that some people would count among them."""
ADJECTIVES = {'wood': 'wooden'}
"""Of materials, where it is not the name itself."""


@dataclass(frozen=True)
class Noun:
    """A name of things, without its article.

    Attributes:
        head: a category of the catalog, one of `GROUPS`, or `ANYTHING`.
        color: of the catalog; empty for any.
        material: of the catalog; empty for any.
    """

    head: str
    color: str = ''
    material: str = ''

    @property
    def bare(self) -> Noun:
        """The same without color and material."""
        return Noun(self.head)

    @property
    def attributes(self) -> str:
        """Color and material, as after "is"."""
        return ' '.join(filter(None, (self.color, _adjective(self.material))))

    def fits(self, thing: Thing) -> Verdict:
        """Whether it is a name of the thing."""
        return conjunction(
            self.head == ANYTHING or _is_among(thing, *GROUPS.get(self.head, (frozenset({self.head}), frozenset()))),
            self.color in ('', thing.color),
            self.material in ('', thing.material),
        )

    def words(self, *, plural: bool) -> str:
        """The name of one thing, or of several."""
        known = CATALOG.get(self.head)
        several = known.plural if known else f'{self.head}s'
        return ' '.join(filter(None, (self.attributes, several if plural else self.head)))


@dataclass(frozen=True)
class Use:
    """Something to be done for which one needs a thing.

    Attributes:
        phrase: what the model writes for such a thing.
        categories: of the catalog, that are good for it.
        train: what one does with them, as after "something to".
        test: the same in other words.
    """

    phrase: str
    categories: frozenset[str]
    train: tuple[str, ...]
    test: tuple[str, ...]

    def fits(self, thing: Thing) -> Verdict:
        """Whether the thing is good for it."""
        return thing.category in self.categories


def _use(phrase: str, categories: str, train: Sequence[str], test: Sequence[str]) -> Use:
    return Use(phrase, frozenset(categories.split()), tuple(train), tuple(test))


USES = (
    _use(
        'thing to drink from',
        'mug cup bottle can',
        ('drink from', 'drink water from', 'have a drink from', 'drink my water from', 'have some water from'),
        ('have a drink of water from',),
    ),
    _use(
        'coffee cup',
        'mug cup',
        ('drink hot coffee from', 'pour coffee into', 'pour hot coffee into', 'have hot coffee from'),
        ('drink coffee from', 'have coffee in'),
    ),
    _use(
        'salad bowl',
        'bowl',
        ('mix a salad in', 'serve soup in', 'eat a salad from', 'have soup in', 'put a salad into'),
        ('serve a salad in', 'mix soup in'),
    ),
    _use(
        'plate for food',
        'plate',
        ('serve food on', 'put bread on', 'have food on', 'cut bread on', 'serve a salad on'),
        ('serve bread on', 'put food on'),
    ),
    _use(
        'tool for nails',
        'hammer',
        ('hit a nail with', 'drive a nail into the wall with', 'hit nails with', 'put a nail into the wall with'),
        ('drive a nail with', 'hit a nail into the wall with'),
    ),
    _use(
        'tool for screws',
        'screwdriver',
        ('turn a screw with', 'tighten a screw with', 'turn screws with', 'drive a screw into the wall with'),
        ('loosen a screw with',),
    ),
    _use(
        'tool for bolts',
        'wrench',
        ('tighten a bolt with', 'loosen a nut with', 'tighten a nut with', 'turn a bolt with'),
        ('loosen a bolt with',),
    ),
    _use(
        'thing to cut with',
        'knife',
        ('cut food with', 'slice bread with', 'cut an apple with', 'slice a banana with'),
        ('cut bread with', 'slice food with'),
    ),
    _use(
        'thing to stir with',
        'spoon',
        ('eat soup with', 'stir coffee with', 'stir water with', 'mix a salad with', 'mix soup with'),
        ('stir soup with', 'eat a salad with'),
    ),
    _use('thing to eat', 'apple banana', ('eat', 'have as food', 'eat now', 'have for food'), ('eat as food',)),
    _use('thing to read', 'book', ('read', 'find a story in', 'read now', 'read to me'), ('read a story in',)),
    _use(
        'thing to throw',
        'ball',
        ('throw and catch', 'play with', 'catch', 'throw to me', 'throw at the wall'),
        ('play catch with', 'throw'),
    ),
)


def _is_among(thing: Thing, members: frozenset[str], arguable: frozenset[str]) -> Verdict:
    return None if thing.category in arguable else thing.category in members


def _adjective(material: str) -> str:
    return ADJECTIVES.get(material, material)
