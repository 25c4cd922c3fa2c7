"""Reads the verdict of a reply about one mask."""

from __future__ import annotations

import re

from instructsam_model.sam3_agent.tool_calls.calls import ReplyError
from instructsam_model.sam3_agent.tool_calls.repair import without_thoughts

TAGGED = re.compile(r'<verdict>(.*?)(?:</verdict>|$)', re.DOTALL | re.IGNORECASE)


def verdict_strict(reply: str) -> bool:
    """Return whether the mask is accepted, as the public code reads it.

    Looked at: the text between the last `<verdict>` and the next `</verdict>`, or the whole reply without tags; the
    words Accept and Reject, case-sensitive, also within other words.

    Raises:
        ReplyError: there is neither word, or both.
    """
    text = reply.split('<verdict>')[-1].split('</verdict>')[0]
    accepts, rejects = 'Accept' in text, 'Reject' in text
    if accepts and rejects:
        raise ReplyError('the verdict is both Accept and Reject', 'AssertionError')
    if not accepts and not rejects:
        raise ReplyError('the verdict is neither Accept nor Reject', 'ValueError')
    return accepts


def verdict_lenient(reply: str) -> bool:
    """Return whether the mask is accepted: the last tagged verdict, or a single word outside of thoughts, in any case.

    Raises:
        ReplyError: there is neither word, or both.
    """
    text = without_thoughts(reply)
    tagged = TAGGED.findall(text)
    text = tagged[-1] if tagged else text
    accepts, rejects = (re.search(word, text, re.IGNORECASE) is not None for word in (r'\baccept', r'\breject'))
    if accepts == rejects:
        raise ReplyError('it has both words' if accepts else 'it has neither word')
    return accepts
