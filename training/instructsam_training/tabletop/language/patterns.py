"""Patterns of training wordings that several constructions share; functions insert the word that differs."""

from __future__ import annotations


def extreme(most: str, *others: str) -> tuple[str, ...]:
    """Return wordings of a superlative: 'largest'."""
    return (
        f'the {most} {{s}}',
        f'Which {{s}} is the {most}?',
        f'the {most} one of all {{many}}',
        f'the {most} among the {{many}}',
        f'Of the {{many}}, which one is the {most}?',
        f'Look at the {{many}}. Mark the {most} one.',
        f'the {{s}} that is the {most}',
        f'the {{s}} that is {most} of all',
        f'the {most} of these {{many}}',
        f'the {most} of all the {{many}}',
        f'Which of these {{many}} is the {most}?',
        f'Which one of the {{many}} is the {most}?',
        f'Which {{s}} is the {most} of all?',
        f'Among the {{many}}, mark the {most}.',
        *others,
    )


def extremes(most: str, *others: str) -> tuple[str, ...]:
    """Return wordings of a superlative with a number: 'two largest'."""
    return (
        f'the {most} {{n}} {{s}}',
        f'the {{n}} {most} among the {{many}}',
        f'the {{n}} {most} ones of all {{many}}',
        f'Of the {{many}}, mark the {{n}} {most} ones.',
        f'the {{n}} {{s}} that are the {most}',
        f'the {{n}} {most} of all {{many}}',
        f'the {{n}} {most} of these {{many}}',
        f'Which {{n}} of these {{many}} are the {most}?',
        f'Of the {{many}}, which {{n}} are the {most}?',
        f'Look at the {{many}}. Mark the {{n}} {most} ones.',
        *others,
    )


def located(place: str, *others: str) -> tuple[str, ...]:
    """Return wordings of a location relative to an anchor."""
    return (
        f'{{the}} {{s}} {place} the {{a}}',
        f'Which {{s}} {{is}} {place} the {{a}}?',
        f'{{the}} {{s}} that can be seen {place} the {{a}}',
        f'Look {place} the {{a}}. Mark {{the}} {{s}}.',
        f'{{the}} {{s}} which {{is}} {place} the {{a}}',
        f'{{the}} {{s}} that you see {place} the {{a}}',
        f'any {{s}} {place} the {{a}}',
        f'Which of the {{many}} {{is}} {place} the {{a}}?',
        f'Look at the {{a}}. Mark {{the}} {{s}} {place} it.',
        f'Of the {{many}}, mark what is {place} the {{a}}.',
        *others,
    )


def on_side(side: str) -> tuple[str, ...]:
    """Return wordings of left or right of an anchor."""
    return located(
        f'{side} of',
        f'{{the}} {{s}} to the {side} of the {{a}}',
        f'{{the}} {{s}} that {{is}} on the {side} of the {{a}}',
        f'{{the}} {{s}} that {{is}} to the {side} of the {{a}}',
        f'Which {{s}} {{is}} to the {side} of the {{a}}?',
        f'Which {{s}} {{is}} on the {side} of the {{a}}?',
        f'Look at the {{a}}. Which {{s}} {{is}} on the {side} of it?',
    )


def first_from(side: str) -> tuple[str, ...]:
    """Return wordings of the first object from the left or right."""
    return (
        f'the first {{s}} from the {side}',
        f'the {{s}} that is first from the {side}',
        f'the {{s}} that is furthest {side}',
        f'the {{s}} that is furthest to the {side}',
        f'the {{s}} furthest {side}',
        f'Which {{s}} is furthest to the {side}?',
        f'From the {side}, which {{s}} is first?',
        f'Of the {{many}}, which one is first from the {side}?',
    )


def compared(more: str, *others: str) -> tuple[str, ...]:
    """Return wordings of a comparison with an anchor: 'larger'."""
    return (
        f'{{the}} {{s}} {more} than the {{a}}',
        f'Which {{s}} {{is}} {more} than the {{a}}?',
        f'any {{s}} {more} than the {{a}}',
        f'Which of the {{many}} {{is}} {more} than the {{a}}?',
        f'{{the}} {{s}} which {{is}} {more} than the {{a}}',
        f'What {{s}} {{is}} {more} than the {{a}}?',
        f'Look at the {{a}}. Which of the {{many}} {{is}} {more}?',
        f'Look at the {{a}}. Mark {{the}} {{s}} {more} than it.',
        f'Of the {{many}}, mark what is {more} than the {{a}}.',
        *others,
    )
