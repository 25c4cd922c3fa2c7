"""The mistakes of the oracle: which ones a reply can have, and the reply with one of them."""

from __future__ import annotations

from random import Random
from typing import Literal

from instructsam_training.tabletop.language.nouns import Noun
from instructsam_training.tabletop.oracle.calls import REPORT, SEGMENT, SELECT, Call, malform, report, segment, select
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS

Mistake = Literal['malformed', 'wrong_report', 'wrong_phrase', 'wrong_number']
"""No valid call; a report that there is no target; another phrase; another mask."""


def possible_mistakes(call: Call, masks: int) -> tuple[Mistake, ...]:
    """Return the mistakes that can replace a right call.

    Args:
        call: the right one.
        masks: number of masks in the newest image; 0 if it shows none.
    """
    kinds: dict[Mistake, bool] = {
        'malformed': True,
        'wrong_report': call.tool != REPORT,
        'wrong_phrase': call.tool in (SEGMENT, REPORT),
        # A number for each mask, and one that there is not.
        'wrong_number': call.tool == SELECT or (call.tool == REPORT and masks > 0),
    }
    return tuple(kind for kind, is_possible in kinds.items() if is_possible)


def make_mistake(kind: Mistake, call: Call, masks: int, rng: Random) -> str:
    """Return the reply with a mistake instead of a right call; arguments as for `possible_mistakes`."""
    if kind == 'malformed':
        return malform(call, rng)
    if kind == 'wrong_report':
        return report('Nothing here matches the question.').text
    if kind == 'wrong_phrase':
        right = call.parameters.get('text_prompt')
        return segment(next(phrase for phrase in _random_phrases(rng) if phrase != right)).text
    return select(_wrong_numbers(call, masks, rng)).text


def _random_phrases(rng: Random) -> list[str]:
    """Return two different names of things."""
    categories = rng.sample(sorted(CATALOG), 2)
    return [Noun(category, rng.choice(sorted(COLORS))).words(plural=False) for category in categories]


def _wrong_numbers(call: Call, masks: int, rng: Random) -> list[int]:
    """Return the numbers with one of them replaced; that of a mask that there is not, if all masks are right."""
    right = list(call.parameters.get('final_answer_masks', ()))
    others = [number for number in range(1, masks + 2) if number not in right]
    wrong = rng.choice(others[:-1] or others)
    kept = right[:]
    if kept:
        kept.pop(rng.randrange(len(kept)))
    return sorted([*kept, wrong])
