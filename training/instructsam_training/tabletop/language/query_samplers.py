"""`DRAWS`: functions that make a request at random, or none where a view has nothing to ask in that way.

Whether its answer is beyond doubt is for `questions` to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import get_args

from instructsam_training.tabletop.language.nouns import ANYTHING, GROUPS, USES, Noun
from instructsam_training.tabletop.language.scene_layout import Layout, Relation
from instructsam_training.tabletop.language.scene_query import Kind, Request, contests, fits, rank_below, without
from instructsam_training.tabletop.language.ternary_logic import Verdict, conjunction, negation
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import Thing

NUMBERS = ('none', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve')
ORDINALS = ('', 'first', 'second', 'third')
MOST_COUNTED = 4
Draw = Callable[[Layout, Random], Request | None]


def category(layout: Layout, rng: Random) -> Request:
    """All things of a category or group, or the only one."""
    noun = _head(layout, rng, groups=0.15)
    return _named(noun, rng.random() < (0.25 if _fitting(noun, layout) == 1 else 1.0))


def attribute(layout: Layout, rng: Random) -> Request:
    """Things of a color, of a category and a color, or of a category and a material."""
    thing = rng.choice(layout.clear)
    if rng.random() < 0.25:
        noun = Noun(ANYTHING, thing.color)
        return Request('anything such', fits(noun), noun)
    materials = CATALOG[thing.category].materials
    material = thing.material if len(materials) > 1 and rng.random() < 0.35 else ''
    color = thing.color if not material or rng.random() < 0.2 else ''
    return _such(Noun(thing.category, color, material))


def size(layout: Layout, rng: Random) -> Request | None:
    """The most extreme of several things in size or height, or all that exceed another thing."""
    if rng.random() < 0.6:
        return _most(_noun(layout, rng), rng.choice(('largest', 'smallest', 'tallest', 'shortest')), layout)
    return comparison(layout, rng)


def comparison(layout: Layout, rng: Random) -> Request | None:
    """Things larger, smaller, taller or shorter than another."""
    anchor = _anchor(layout, rng, rng.choice(layout.clear))
    if anchor is None:
        return None
    construction = rng.choice(('larger', 'smaller', 'taller', 'shorter'))
    beats = contests(layout)[
        {'larger': 'largest', 'smaller': 'smallest', 'taller': 'tallest', 'shorter': 'shortest'}[construction]
    ]
    return _compared(construction, _noun(layout, rng), anchor, lambda thing: beats(thing, anchor[0]))


def relation(layout: Layout, rng: Random) -> Request | None:
    """Things left of, right of, in front of, behind, on, inside or next to another."""
    # Rests are rarer than the others and fail more often.
    relation: Relation = rng.choice((*get_args(Relation), 'on', 'inside'))
    candidates = [thing for thing in layout.clear if _can_be_anchor(thing, relation)]
    anchor = _anchor(layout, rng, rng.choice(candidates)) if candidates else None
    if anchor is None:
        return None
    return _compared(relation, _noun(layout, rng), anchor, lambda thing: layout.holds(relation, thing, anchor[0]))


def ordering(layout: Layout, rng: Random) -> Request | None:
    """The first of a row, the second or third of it, or the one closest to another thing."""
    noun, way = _noun(layout, rng), rng.random()
    if way < 0.65:
        return _most(noun, rng.choice(('leftmost', 'rightmost', 'nearest', 'furthest')), layout)
    if way < 0.85:
        return nth(layout, rng)
    anchor = _anchor(layout, rng, rng.choice(layout.clear))
    if anchor is None:
        return None
    others = without(noun, lambda thing, _: thing is anchor[0])
    closest = rank_below(1, others, lambda one, other: layout.is_closer(one, other, anchor[0]))
    return Request('closest', closest, noun, {'a': anchor[1]}, count=1, wider=others)


def nth(layout: Layout, rng: Random) -> Request | None:
    """The second or third from the left or right."""
    noun, place, side = _noun(layout, rng), rng.choice((2, 2, 3)), rng.choice(('left', 'right'))
    if _fitting(noun, layout) < 2:
        return None
    beats = contests(layout)[f'{side}most']
    up_to, before = (rank_below(limit, fits(noun), beats) for limit in (place, place - 1))
    return Request(
        'nth',
        lambda thing, universe: conjunction(up_to(thing, universe), negation(before(thing, universe))),
        noun,
        {'nth': ORDINALS[place], 'side': side},
        count=1,
        wider=fits(noun),
    )


def counting(layout: Layout, rng: Random) -> Request | None:
    """A number of things, all there are or the most extreme ones."""
    noun = _noun(layout, rng)
    members = _fitting(noun, layout)
    if rng.random() < 0.3 and noun.head != ANYTHING and 2 <= members <= MOST_COUNTED:
        construction = 'pair' if members == 2 else 'n'
        return Request(construction, fits(noun), noun, {'n': NUMBERS[members]}, count=members)
    if members < 3:
        return None
    count = rng.randint(2, min(members - 1, MOST_COUNTED))
    most = rng.choice(('largest', 'smallest', 'leftmost', 'rightmost', 'nearest'))
    meaning = rank_below(count, fits(noun), contests(layout)[most])
    return Request(f'n {most}', meaning, noun, {'n': NUMBERS[count]}, count=count, wider=fits(noun))


def exclusion(layout: Layout, rng: Random) -> Request | None:
    """All things of a kind but some of them."""
    way, thing = rng.random(), rng.choice(layout.clear)
    if way < 0.4:
        left_out = _head(layout, rng, groups=0.3) if rng.random() < 0.5 else Noun(thing.category, thing.color)
        several = _fitting(left_out, layout) > 1
        return Request(
            'all but',
            without(Noun(ANYTHING), fits(left_out)),
            slots={'not': left_out.words(plural=several)},
            is_plural=True,
        )
    noun = Noun(thing.category)
    members = _fitting(noun, layout)
    if members < 2:
        return None
    if way < 0.75 and members > 2:
        most = rng.choice(('largest', 'smallest', 'leftmost', 'rightmost', 'nearest'))
        left_out_meaning = rank_below(1, fits(noun), contests(layout)[most])
        return Request('but most', without(noun, left_out_meaning), noun, {'x': most}, members - 1, is_plural=True)
    such = Noun(thing.category, thing.color)
    slots = {'x': such.attributes, 'ones': 'one' if _fitting(such, layout) == 1 else 'ones'}
    return Request('but such', without(noun, fits(such)), noun, slots, is_plural=True)


def function(layout: Layout, rng: Random) -> Request | None:
    """Whatever is good for something."""
    thing = rng.choice(layout.clear)
    return _use([index for index, use in enumerate(USES) if use.fits(thing)], rng)


def absent_attribute(layout: Layout, rng: Random) -> Request | None:
    """A category that is there, in a color that other things have."""
    thing, other = rng.choice(layout.clear), rng.choice(layout.clear)
    return _such(Noun(thing.category, other.color))


def absent_category(layout: Layout, rng: Random) -> Request:
    """Any category of the catalog."""
    return _named(Noun(rng.choice(tuple(CATALOG))), rng.random() < 0.5)


def absent_use(layout: Layout, rng: Random) -> Request | None:
    """Anything that can be done."""
    return _use(range(len(USES)), rng)


DRAWS: dict[Kind, tuple[Draw, ...]] = {
    'category': (category,),
    'attribute': (attribute,),
    'size': (size,),
    'relation': (relation,),
    'ordering': (ordering,),
    'counting': (counting,),
    'exclusion': (exclusion,),
    'function': (function,),
    'none': (
        absent_attribute,
        absent_attribute,
        absent_category,
        absent_use,
        relation,
        relation,
        relation,
        comparison,
        nth,
    ),
}
"""How each kind is asked for, but `several`, which puts others together; of 'none', what may have no answer."""


def _named(noun: Noun, all_of_them: bool) -> Request:
    if all_of_them:
        return Request('all', fits(noun), noun, is_plural=True)
    return Request('one', fits(noun), noun, count=1)


def _such(noun: Noun) -> Request:
    return Request('such', fits(noun), noun, wider=fits(noun.bare))


def _use(choices: Sequence[int], rng: Random) -> Request | None:
    if not choices:
        return None
    use = USES[rng.choice(choices)]
    return Request('use', lambda thing, _: use.fits(thing), slots={'use': use.phrase})


def _most(noun: Noun, most: str, layout: Layout) -> Request | None:
    """The one of a noun's things that is so more than all others."""
    if _fitting(noun, layout) < 2:
        return None
    return Request(most, rank_below(1, fits(noun), contests(layout)[most]), noun, count=1, wider=fits(noun))


def _compared(construction: str, noun: Noun, anchor: tuple[Thing, str], is_so: Callable[[Thing], Verdict]) -> Request:
    others = without(noun, lambda thing, _: thing is anchor[0])

    def meaning(thing: Thing, universe: Sequence[Thing]) -> Verdict:
        fits = others(thing, universe)
        return False if fits is False else conjunction(fits, is_so(thing))

    return Request(construction, meaning, noun, {'a': anchor[1]}, wider=others)


def _fitting(noun: Noun, layout: Layout) -> int:
    return sum(noun.fits(thing) is True for thing in layout.clear)


def _head(layout: Layout, rng: Random, groups: float) -> Noun:
    """The category of a thing, with the given probability its group."""
    thing = rng.choice(layout.clear)
    heads = [head for head, (members, _) in GROUPS.items() if thing.category in members]
    return Noun(heads[0] if heads and rng.random() < groups else thing.category)


def _noun(layout: Layout, rng: Random) -> Noun:
    """A noun that fits something in view: any thing, of a category, of a color, or of both."""
    thing = rng.choice(layout.clear)
    head = ANYTHING if rng.random() < 0.35 else thing.category
    return Noun(head, thing.color if rng.random() < 0.2 else '')


def _anchor(layout: Layout, rng: Random, thing: Thing) -> tuple[Thing, str] | None:
    """A thing with the shortest name that is its alone, now and then a longer one."""
    nouns = [
        Noun(thing.category),
        Noun(thing.category, thing.color),
        Noun(thing.category, thing.color, thing.material if len(CATALOG[thing.category].materials) > 1 else ''),
    ]
    unique = [noun for noun in nouns if [each for each in layout.things if noun.fits(each) is not False] == [thing]]
    if not unique:
        return None
    return thing, unique[min(int(rng.random() < 0.3), len(unique) - 1)].words(plural=False)


def _can_be_anchor(thing: Thing, relation: Relation) -> bool:
    known = CATALOG[thing.category]
    return {'on': known.flat_top, 'inside': known.is_container}.get(relation, True)
