"""`Noun` and `Use`: names of objects and what the objects can be used for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from instructsam_training.tabletop.language.ternary_logic import Ternary, logical_and
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import SceneObject

ANYTHING = 'thing'
"""Head of the noun that matches every object."""
GROUPS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    'tool': (frozenset({'hammer', 'screwdriver', 'wrench'}), frozenset({'knife'})),
    'fruit': (frozenset({'apple', 'banana'}), frozenset()),
}
"""Heads of several categories: the categories in the group, and those on which people disagree."""
ADJECTIVES = {'wood': 'wooden'}
"""Adjectives of materials, if different from the noun."""


@dataclass(frozen=True)
class Noun:
    """A name of objects, without article.

    Attributes:
        head: a category of the catalog, a key of `GROUPS`, or `ANYTHING`.
        color: color of the catalog; empty for any.
        material: material of the catalog; empty for any.
    """

    head: str
    color: str = ''
    material: str = ''

    @property
    def bare(self) -> Noun:
        """The noun without color and material."""
        return Noun(self.head)

    @property
    def attributes(self) -> str:
        """Color and material as adjectives."""
        return ' '.join(filter(None, (self.color, _adjective(self.material))))

    def matches(self, obj: SceneObject) -> Ternary:
        """Return whether this is a name of the object."""
        return logical_and(
            self.head == ANYTHING or _is_in_group(obj, *GROUPS.get(self.head, (frozenset({self.head}), frozenset()))),
            self.color in ('', obj.color),
            self.material in ('', obj.material),
        )

    def words(self, *, plural: bool) -> str:
        """Return the noun in singular or plural."""
        category = CATALOG.get(self.head)
        plural_head = category.plural if category else f'{self.head}s'
        return ' '.join(filter(None, (self.attributes, plural_head if plural else self.head)))


@dataclass(frozen=True)
class Use:
    """A use of objects (affordance).

    Attributes:
        phrase: phrase of the answer.
        categories: categories of the catalog with this use.
        train: verb phrases after "something to", for training.
        test: other verb phrases for the test split.
    """

    phrase: str
    categories: frozenset[str]
    train: tuple[str, ...]
    test: tuple[str, ...]

    def matches(self, obj: SceneObject) -> Ternary:
        """Return whether the object has this use."""
        return obj.category in self.categories


@dataclass(frozen=True, kw_only=True)
class UseNoun(Noun):
    """A name that does not say what objects are, only what for: 'thing to drink from'.

    Attributes:
        use: of all objects of the name.
        verb: verb phrase of the use.
    """

    use: Use
    verb: str

    @property
    def bare(self) -> Noun:
        """The noun without color and material."""
        return replace(self, color='', material='')

    def matches(self, obj: SceneObject) -> Ternary:
        """Return whether this is a name of the object."""
        return logical_and(super().matches(obj), self.use.matches(obj))

    def words(self, *, plural: bool) -> str:
        """Return the noun in singular or plural."""
        return f'{super().words(plural=plural)} to {self.verb}'


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


def _is_in_group(obj: SceneObject, members: frozenset[str], arguable: frozenset[str]) -> Ternary:
    return None if obj.category in arguable else obj.category in members


def _adjective(material: str) -> str:
    return ADJECTIVES.get(material, material)
