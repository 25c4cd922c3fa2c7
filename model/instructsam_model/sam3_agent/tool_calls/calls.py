"""The four tool calls of the vision-language model, and `ReplyError`: a reply that is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SEGMENT = 'segment_phrase'
EXAMINE = 'examine_each_mask'
SELECT = 'select_masks_and_return'
REPORT = 'report_no_mask'
TOOLS = (SEGMENT, EXAMINE, SELECT, REPORT)


@dataclass(frozen=True)
class SegmentCall:
    """Search the image for a phrase."""

    phrase: str


@dataclass(frozen=True)
class ExamineCall:
    """Check each mask by itself."""


@dataclass(frozen=True)
class SelectCall:
    """End with some masks. `numbers`: as the model wrote them, counted from 1; see `mask_numbers`."""

    numbers: Any


@dataclass(frozen=True)
class ReportCall:
    """End: there is no such object."""


Call = SegmentCall | ExamineCall | SelectCall | ReportCall


class ReplyError(Exception):
    """A reply cannot be carried out.

    Args:
        message: what is wrong, as a clause for the model: "there is no mask 7".
        exception: class of the exception that the public code raises; empty where it raises none.
    """

    def __init__(self, message: str, exception: str = '') -> None:
        super().__init__(message)
        self.message = message
        self.exception = exception
