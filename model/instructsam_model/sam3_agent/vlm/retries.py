"""When a request is repeated, and after which time.

Failures of the server (5xx), of the connection, and answers that are no chat completion are repeated. A request that
the server refuses (4xx) is not: the same request would be refused again, or charged again. With 408 and 429 the server
itself may say when it wants the request again (RFC 9110, Retry-After); without that they count as refused, because 429
is also the answer if the money is used up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

TOO_SLOW, TOO_MANY = 408, 429
FIRST_SERVER_ERROR = 500
FIRST_DELAY_S, MAX_DELAY_S = 0.5, 8.0


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        message: for people.
        status: HTTP status; 0 if there was no answer, 200 if the answer is no chat completion.
        headers: of the answer, names in lower case.
    """

    message: str
    status: int = 0
    headers: Mapping[str, str] | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether the server would refuse the same request again."""
        if self.status in (TOO_SLOW, TOO_MANY):
            return retry_after_s(self.headers or {}) is None
        return 400 <= self.status < FIRST_SERVER_ERROR


def delay_s(failure: Failure, attempt: int) -> float:
    """Return the time to wait after failed attempt number `attempt`, from 1: what the server asks for, or twice as long
    each time. A random part keeps several clients from coming back at the same moment.
    """
    asked_s = retry_after_s(failure.headers or {})
    if asked_s is not None:
        return asked_s
    return min(FIRST_DELAY_S * 2.0 ** (attempt - 1), MAX_DELAY_S) * random.uniform(0.75, 1.0)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the header Retry-After asks to wait, given as a number or as a date; None without it."""
    value = headers.get('retry-after', '').strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds < float('inf') else None
