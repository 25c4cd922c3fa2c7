"""Which masks a list of numbers selects."""

from __future__ import annotations

import re
from typing import Any

from instructsam_model.sam3_agent.tool_calls.calls import ReplyError

NUMBERS_AS_TEXT = re.compile(r'\[?\s*\d{1,6}(?:[\s,;]+\d{1,6})*\s*\]?')


def choose_strict(numbers: Any, count: int) -> list[int]:
    """Return the chosen masks, ascending from 1, as the public code does.

    Values that equal no number of a mask are left out, repeated ones taken once. Python's equality decides: True is 1;
    2.0 is 2 and then no index. Of equal values the first counts.

    Raises:
        ReplyError: the public code raises TypeError: the value cannot be iterated, or one in it is no index.
    """
    try:
        chosen = sorted({number for number in numbers if number in set(range(1, count + 1))})
    except TypeError as error:
        raise ReplyError(f'final_answer_masks is no list of numbers ({error})', 'TypeError') from None
    if any(isinstance(number, float) for number in chosen):
        raise ReplyError('final_answer_masks has a number that is not whole', 'TypeError')
    return [int(number) for number in chosen]


def choose_lenient(numbers: Any, count: int) -> tuple[list[int], str]:
    """Return the chosen masks, ascending from 1, and a note about values that were left out.

    Whole numbers count, also as text or with a decimal point, and a single one in place of a list.

    Raises:
        ReplyError: none of the values is the number of a mask.
    """
    values = _as_list(numbers)
    chosen = {number for number in map(_as_number, values) if number is not None and 1 <= number <= count}
    if not chosen:
        masks = f'the numbers are 1 to {count}' if count else 'there are no masks'
        raise ReplyError(f'final_answer_masks selects no mask; {masks}. If there is no target, call report_no_mask')
    left_out = [value for value in values if _as_number(value) not in chosen]
    return sorted(chosen), f'numbers left out: {str(left_out)[:100]}' if left_out else ''


def _as_list(numbers: Any) -> list[Any]:
    if isinstance(numbers, str):
        return re.findall(r'\d+', numbers) if NUMBERS_AS_TEXT.fullmatch(numbers.strip()) else []
    return list(numbers) if isinstance(numbers, list | tuple) else [numbers]


def _as_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r'\s*\d{1,6}\s*', value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None
