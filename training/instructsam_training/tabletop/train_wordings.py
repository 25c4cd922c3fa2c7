"""The wordings of instructions in training (see `wordings` for their slots).

Every construction has many: a small language model that knows two or three of them learns these by heart, and reads
none that it has not seen.
"""

from __future__ import annotations


def _most(most: str, *others: str) -> tuple[str, ...]:
    """One of several, by what it is most."""
    return (
        f'the {most} {{s}}',
        f'Which {{s}} is the {most}?',
        f'the {most} one of all {{many}}',
        f'the {most} among the {{many}}',
        f'Of the {{many}}, which one is the {most}?',
        f'Look at the {{many}}. Mark the {most} one.',
        *others,
    )


def _n_most(most: str, *others: str) -> tuple[str, ...]:
    """Some of several, by what they are most."""
    return (
        f'the {most} {{n}} {{s}}',
        f'the {{n}} {most} among the {{many}}',
        f'the {{n}} {most} ones of all {{many}}',
        f'Of the {{many}}, mark the {{n}} {most} ones.',
        *others,
    )


def _place(place: str, *others: str) -> tuple[str, ...]:
    """Where something is, from another thing."""
    return (
        f'{{the}} {{s}} {place} the {{a}}',
        f'Which {{s}} {{is}} {place} the {{a}}?',
        f'{{the}} {{s}} that can be seen {place} the {{a}}',
        f'Look {place} the {{a}}. Mark {{the}} {{s}}.',
        *others,
    )


def _more(more: str, *others: str) -> tuple[str, ...]:
    """What something is more than another thing."""
    return (
        f'{{the}} {{s}} {more} than the {{a}}',
        f'Which {{s}} {{is}} {more} than the {{a}}?',
        f'any {{s}} {more} than the {{a}}',
        f'Which of the {{many}} {{is}} {more} than the {{a}}?',
        *others,
    )


TRAIN: dict[str, tuple[str, ...]] = {
    'one': ('the {s}', 'only the {s}', 'the only {s}', 'the one {s} that you see', 'the {s} here', 'this {s}'),
    'all': (
        'the {s}',
        'all {s}',
        'every {one}',
        'Which things are {s}?',
        'any {s}',
        'all of these {s}',
        'every one of the {s}',
        'all {s} that you see',
        'each and every {one}',
        'each {one} that you see',
        'each one of the {s}',
        'each of these {s}',
        'every single {one}',
        'the {s}, all of them',
        'Which ones are {s}?',
        'Which of these are {s}?',
        'Of the things that you see, which are {s}?',
        'Which of all the things on the table are {s}?',
        'all things that are {s}',
    ),
    'such': (
        '{the} {s}',
        'Which {bare} {is} {x}?',
        '{the} {bare} which {is} {x}',
        'Of the {bares}, which {is} {x}?',
        'Look at the {bares}. Which {is} {x}?',
        'Of all the {bares}, which {is} {x}?',
        'Which of these {bares} {is} {x}?',
        'What {bare} {is} {x}?',
        '{the} {bare} that you see and that {is} {x}',
        'Look for {the} {bare} which {is} {x}.',
        'Among the {bares}, mark what is {x}.',
    ),
    'anything such': (
        'everything that is {x}',
        'all {s}',
        'What is {x}?',
        'all {s} that you see',
        'Look at the things. Which are {x}?',
        'all things that are {x}',
        'all that you see that is {x}',
        'each thing that is {x}',
        'anything that is {x}',
        'Which ones are {x}?',
        'Which of these are {x}?',
        'Which of all the things on the table are {x}?',
        'Of the things that you see, which are {x}?',
        'each of these {s}',
        'every one of the {s}',
    ),
    'left': _place('left of', '{the} {s} to the left of the {a}', 'Look at the {a}. Which {s} {is} on the left of it?'),
    'right': _place(
        'right of', '{the} {s} to the right of the {a}', 'Look at the {a}. Which {s} {is} on the right of it?'
    ),
    'front': _place('in front of', '{the} {s} nearer than the {a}', 'Which {s} {is} nearer to me than the {a}?'),
    'behind': _place('behind', '{the} {s} further away than the {a}', 'Which {s} {is} further from me than the {a}?'),
    'on': _place(
        'on', 'Which {s} {is} on top of the {a}?', 'Look at the {a}. Which {s} {is} on it?', 'What {s} {is} on the {a}?'
    ),
    'inside': (
        '{the} {s} in the {a}',
        '{the} {s} inside the {a}',
        'Look at the {a}. Which {s} {is} in it?',
        'Look in the {a}. Mark {the} {s}.',
        '{the} {s} that can be seen in the {a}',
        'What {s} {is} in the {a}?',
        '{the} {s} which {is} inside the {a}',
    ),
    'beside': _place('next to', '{the} {s} beside the {a}', 'Which {s} {is} beside the {a}?'),
    'larger': _more('larger', 'Look at the {a}. Which {s} {is} bigger?', 'Which {s} {is} bigger than the {a}?'),
    'smaller': _more('smaller'),
    'taller': _more('taller'),
    'shorter': _more('shorter'),
    'largest': _most('largest', 'Which {s} is the biggest?', 'the biggest one of all {many}'),
    'smallest': _most('smallest'),
    'tallest': _most('tallest'),
    'shortest': _most('shortest'),
    'leftmost': _most('leftmost', 'the first {s} from the left', 'the {s} that is furthest left'),
    'rightmost': _most('rightmost', 'the first {s} from the right', 'the {s} that is furthest right'),
    'nearest': _most(
        'nearest',
        'the {s} nearest to me',
        'Which {s} is nearest to the camera?',
        'the {s} that is closest to me',
        'Which {s} is closest to the camera?',
    ),
    'furthest': _most(
        'furthest',
        'the {s} furthest from me',
        'Which {s} is furthest away?',
        'the {s} that is furthest from the camera',
    ),
    'nth': (
        'the {nth} {s} from the {side}',
        'Which {s} is {nth} from the {side}?',
        'the {s} that is {nth} from the {side}',
        'the {nth} one from the {side} among the {many}',
        'Of the {many}, which one is {nth} from the {side}?',
        'From the {side}, mark the {nth} one of the {many}.',
    ),
    'closest': (
        'the {s} closest to the {a}',
        'Which {s} is closest to the {a}?',
        'Look at the {a}. Which {s} is closest to it?',
        'the {s} that is nearest to the {a}',
        'Of the {many}, which one is closest to the {a}?',
    ),
    'n largest': _n_most('largest', 'the {n} biggest {s}', 'Which {n} {s} are the biggest?'),
    'n smallest': _n_most('smallest', 'the {n} smallest {s}', 'Which {n} {s} are the smallest?'),
    'n leftmost': _n_most(
        'leftmost', 'the {n} leftmost {s}', 'the first {n} {s} from the left', 'the {n} {s} that are furthest left'
    ),
    'n rightmost': _n_most(
        'rightmost', 'the {n} rightmost {s}', 'the first {n} {s} from the right', 'the {n} {s} that are furthest right'
    ),
    'n nearest': _n_most(
        'nearest', 'the {n} nearest {s}', 'the {n} {s} nearest to me', 'the {n} {s} that are closest to the camera'
    ),
    'pair': ('both {s}', 'the two {s}', 'each one of the two {s}', 'both of these {s}', 'each of these two {s}'),
    'n': ('the {n} {s}', 'all {n} {s}', 'every one of the {n} {s}', 'all of these {n} {s}', 'each of these {n} {s}'),
    'but such': (
        'all {many} but the {x} {ones}',
        'all {many} except the {x} {ones}',
        'Which {many} are not {x}?',
        'every {one} that is not {x}',
        'all {many} that are other than {x}',
        'any {one} but the {x} {ones}',
        'Leave the {x} {ones}. Mark the other {many}.',
    ),
    'but most': (
        'all {many} but the {x} one',
        'all {many} except the {x} one',
        'every {one} that is not the {x} one',
        'all other {many} than the {x} one',
        'any {one} but the {x} one',
        'Leave the {x} one. Mark the other {many}.',
    ),
    'all but': (
        'everything except the {not}',
        'everything but the {not}',
        'everything other than the {not}',
        'Leave the {not}. Mark all other things.',
        'Mark everything but leave the {not}.',
        'Which things are not the {not}?',
        'all other things than the {not}',
    ),
    'use': (
        'I need something to {do}.',
        'Hand me something to {do}.',
        'What can I {do}?',
        'Please bring me a thing to {do}.',
        'Could you take something to {do}?',
        'Point at what I can {do}.',
        'Which pixels show a thing to {do}?',
        'I want to have something that I can {do}.',
    ),
    'two': ('{all}', 'Mark {all}, each by itself.', 'Mark both: {all}.'),
    'several': ('{all}', 'Mark {all}, each by itself.', 'Mark all of these: {all}.'),
}
