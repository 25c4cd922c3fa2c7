"""Wordings of each construction, for training and for tests, and the phrase of its answer.

A wording that ends in a period or a question mark is a sentence; any other is inserted into one of `TEMPLATES`. Slots:

    {s} noun, singular or plural             {one} {many} the noun in singular, in plural
    {bare} {bares} {s} and {many} without color and material
    {the} article                            {is} is or are
    {a} name of the anchor                   {x} attribute or superlative, 'red'
    {n} number                               {nth} ordinal              {ones} one or ones
    {side} left or right                     {do} verb phrase of a use
    {not} excluded noun                      {all} list of all phrases
"""

from __future__ import annotations

from instructsam_training.tabletop.language.sentence_templates import Split
from instructsam_training.tabletop.language.train_wordings import TRAIN

TEST: dict[str, tuple[str, ...]] = {
    'one': ('the {s}',),
    'all': ('all the {s}', 'all of the {s}', 'each {one}', 'Which of the things are {s}?'),
    'such': ('{the} {bare} that {is} {x}', 'Which of the {bares} {is} {x}?'),
    'anything such': ('all of the {s}', 'all that is {x}', 'Which of the things are {x}?'),
    'left': (
        '{the} {s} on the left of the {a}',
        '{the} {s} that {is} left of the {a}',
        'What {s} {is} left of the {a}?',
    ),
    'right': (
        '{the} {s} on the right of the {a}',
        '{the} {s} that {is} right of the {a}',
        'What {s} {is} right of the {a}?',
    ),
    'front': ('{the} {s} that {is} in front of the {a}', '{the} {s} nearer to me than the {a}'),
    'behind': ('{the} {s} that {is} behind the {a}', '{the} {s} further from me than the {a}'),
    'on': ('{the} {s} on top of the {a}', '{the} {s} that {is} on the {a}', 'Which {s} can you see on the {a}?'),
    'inside': ('{the} {s} that {is} inside the {a}', 'Which {s} {is} in the {a}?', 'Which {s} can you see in the {a}?'),
    'beside': ('{the} {s} that {is} next to the {a}', 'Look at the {a}. Which {s} {is} beside it?'),
    'larger': ('{the} {s} bigger than the {a}', '{the} {s} that {is} larger than the {a}'),
    'smaller': ('{the} {s} that {is} smaller than the {a}', 'Look at the {a}. Which {s} {is} smaller?'),
    'taller': ('{the} {s} that {is} taller than the {a}', 'Look at the {a}. Which {s} {is} taller?'),
    'shorter': ('{the} {s} that {is} shorter than the {a}', 'Look at the {a}. Which {s} {is} shorter?'),
    'largest': ('the biggest {s}', 'the largest of the {many}', 'Which of the {many} is the biggest?'),
    'smallest': ('the smallest of the {many}', 'Which of the {many} is the smallest?'),
    'tallest': ('the tallest of the {many}', 'Which of the {many} is the tallest?'),
    'shortest': ('the shortest of the {many}', 'Which of the {many} is the shortest?'),
    'leftmost': ('the {s} furthest to the left', 'the leftmost of the {many}', 'Which {s} is first from the left?'),
    'rightmost': ('the {s} furthest to the right', 'the rightmost of the {many}', 'Which {s} is first from the right?'),
    'nearest': ('the {s} closest to me', 'the nearest of the {many}', 'Which of the {many} is closest to the camera?'),
    'furthest': ('the {s} furthest away from me', 'Which of the {many} is furthest from the camera?'),
    'nth': ('the {nth} of the {many} from the {side}', 'From the {side}, which {s} is the {nth}?'),
    'closest': ('the {s} nearest to the {a}', 'the {s} that is closest to the {a}'),
    'n largest': ('the {n} largest {s}', 'the {n} biggest of the {many}'),
    'n smallest': ('the {n} smallest of the {many}', 'Which {n} of the {many} are the smallest?'),
    'n leftmost': ('the {n} {s} furthest to the left', 'the {n} leftmost of the {many}'),
    'n rightmost': ('the {n} {s} furthest to the right', 'the {n} rightmost of the {many}'),
    'n nearest': ('the {n} closest {s}', 'the {n} {s} nearest to the camera'),
    'pair': ('both of the {s}', 'each of the two {s}'),
    'n': ('all of the {n} {s}', 'each of the {n} {s}'),
    'but such': (
        'the {many} that are not {x}',
        'all {many} other than the {x} {ones}',
        'every {one} but the {x} {ones}',
    ),
    'but most': ('all {many} other than the {x} one', 'every {one} except the {x} one'),
    'all but': ('all things other than the {not}', 'Mark all things but leave the {not}.', 'all things but the {not}'),
    'use': (
        'Find something to {do}.',
        'What could I {do}?',
        'Show me a thing that I can {do}.',
        'Where is something to {do}?',
    ),
    'two': ('both {all}', '{all}'),
    'several': ('{all}',),
}

WORDINGS: dict[Split, dict[str, tuple[str, ...]]] = {'train': TRAIN, 'test': TEST}

PHRASES: dict[str, str] = {
    'one': '{s}',
    'all': '{s}',
    'such': '{s}',
    'anything such': '{s}',
    'left': '{s} left of {a}',
    'right': '{s} right of {a}',
    'front': '{s} in front of {a}',
    'behind': '{s} behind {a}',
    'on': '{s} on {a}',
    'inside': '{s} in {a}',
    'beside': '{s} next to {a}',
    'larger': '{s} larger than {a}',
    'smaller': '{s} smaller than {a}',
    'taller': '{s} taller than {a}',
    'shorter': '{s} shorter than {a}',
    'nth': '{nth} {s} from {side}',
    'closest': '{s} closest to {a}',
    'pair': 'two {s}',
    'n': '{n} {s}',
    'but such': '{many} but not {x}',
    'but most': '{many} but not {x}',
    'all but': 'things but not {not}',
    'use': '{use}',
    **{
        most: f'{most} {{s}}'
        for most in ('largest', 'smallest', 'tallest', 'shortest', 'leftmost', 'rightmost', 'nearest', 'furthest')
    },
    **{f'n {most}': f'{{n}} {most} {{s}}' for most in ('largest', 'smallest', 'leftmost', 'rightmost', 'nearest')},
}
