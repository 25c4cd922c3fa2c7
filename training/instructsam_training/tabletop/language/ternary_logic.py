"""Kleene's three-valued logic: true, false, and unknown (None) for comparisons that are too close to call."""

from __future__ import annotations

from collections.abc import Iterable

Ternary = bool | None
"""None: unknown; two people looking at the image could disagree."""


def logical_not(value: Ternary) -> Ternary:
    """Return the negation; unknown stays unknown."""
    return None if value is None else not value


def logical_and(*values: Ternary) -> Ternary:
    """Return the conjunction: false if any value is false, else unknown if any is unknown."""
    if False in values:
        return False
    return None if None in values else True


def exceeds(amount: float, margin: float) -> Ternary:
    """Return true above the margin, false below its negative, and unknown in between."""
    return None if abs(amount) < margin else amount > 0


def fewer_than(limit: int, values: Iterable[Ternary]) -> Ternary:
    """Return whether fewer than `limit` values are true; unknown if the unknown values decide."""
    listed = list(values)
    sure, possible = listed.count(True), listed.count(True) + listed.count(None)
    return True if possible < limit else False if sure >= limit else None
