"""Logic with three values (Kleene's): yes, no, and too close to call. What is too close to call is never asked."""

from __future__ import annotations

from collections.abc import Iterable

Verdict = bool | None
"""None: a person looking at the picture could say either."""


def negation(verdict: Verdict) -> Verdict:
    """Yes where it is no, and no where it is yes."""
    return None if verdict is None else not verdict


def conjunction(*verdicts: Verdict) -> Verdict:
    """Whether all are true; one that is false decides, whatever the others are."""
    if False in verdicts:
        return False
    return None if None in verdicts else True


def exceeds(amount: float, margin: float) -> Verdict:
    """Yes above the margin, no below its negative, and neither in between."""
    return None if abs(amount) < margin else amount > 0


def fewer_than(limit: int, verdicts: Iterable[Verdict]) -> Verdict:
    """Whether fewer than `limit` of them are true."""
    listed = list(verdicts)
    sure, possible = listed.count(True), listed.count(True) + listed.count(None)
    return True if possible < limit else False if sure >= limit else None
