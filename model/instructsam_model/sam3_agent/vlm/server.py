"""`Server`: requests to an OpenAI-compatible server; repeated where that helps, given up when the caller wants it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from instructsam_model.datatypes import never
from instructsam_model.errors import ConfigError, InferenceError, raise_if_canceled
from instructsam_model.sam3_agent.vlm.background import POLL_S, Background, DeadlineError
from instructsam_model.sam3_agent.vlm.completion import Completion, NoCompletionError, brief, read_completion
from instructsam_model.sam3_agent.vlm.retries import Failure, delay_s

if TYPE_CHECKING:
    from openai import AsyncOpenAI

logger = logging.getLogger(__name__)

Result = TypeVar('Result')

CONNECT_TIMEOUT_S = 5.0
DETAIL_CHARS = 300
NO_KEY = 'none'
"""Sent to servers that want no key. The package would otherwise send the key in OPENAI_API_KEY to any server."""


class ServerError(InferenceError):
    """A request got no usable answer.

    Args:
        message: for people.
        status: HTTP status of the last answer; 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Patience:
    """How long a caller waits for one answer.

    Attributes:
        deadline_s: when to give up, retries included, on the clock `time.monotonic`.
        is_canceled: called from the caller's thread, several times a second.
    """

    deadline_s: float = float('inf')
    is_canceled: Callable[[], bool] = never

    @classmethod
    def of(cls, timeout_s: float | None, is_canceled: Callable[[], bool] = never) -> Patience:
        """Return the patience of a caller who waits for a time from now; None: without a limit."""
        return cls(float('inf') if timeout_s is None else time.monotonic() + timeout_s, is_canceled)


class Server:
    """One server. May be used from several threads.

    Args:
        url: with the path of the version, such as 'http://localhost:8000/v1'.
        api_key: sent as bearer token.
        attempts: how often a request is tried at most, see `retries`.
        attempt_timeout_s: longest time for one answer, from connecting to its last byte. An answer that takes longer
            is not asked for again.

    Raises:
        ConfigError: the URL is none or holds a password, or the package openai is not installed.
    """

    def __init__(self, url: str, api_key: str = '', *, attempts: int = 3, attempt_timeout_s: float = 300.0) -> None:
        _check_url(url)
        self.url = url
        self._attempts = attempts
        self._attempt_timeout_s = attempt_timeout_s
        self._background = Background()
        self._client = _open_client(url, api_key)

    def complete(self, body: Mapping[str, Any], patience: Patience) -> Completion:
        """Ask for a chat completion.

        Args:
            body: arguments of `chat.completions.create`.
            patience: of the caller.

        Raises:
            CanceledError: the caller canceled; the connection is closed.
            ServerError: the server cannot be reached, refuses, fails, or sends what is no chat completion.
        """
        create = self._client.chat.completions.with_raw_response.create

        def read(answer: Any) -> Completion:
            return read_completion(answer.headers.get('content-type', ''), answer.content)

        return self._repeat(lambda: create(**body), read, patience)

    def models(self, patience: Patience) -> list[dict[str, Any]]:
        """Return the rows of the list of models, each at least with `id`.

        Raises:
            CanceledError, ServerError: see `complete`.
        """

        def read(answer: Any) -> list[dict[str, Any]]:
            try:
                rows = answer.http_response.json()['data']
                return [{**row, 'id': str(row['id'])} for row in rows]
            except (ValueError, KeyError, TypeError):
                raise NoCompletionError(f'expected a list of models, got {brief(answer.content)}') from None

        return self._repeat(lambda: self._client.models.with_raw_response.list(), read, patience)

    def close(self) -> None:
        """Close all connections; closing twice is allowed."""
        self._background.close(self._client.close)

    def _repeat(self, send: Callable[[], Awaitable[Any]], read: Callable[[Any], Result], patience: Patience) -> Result:
        """Send a request until it succeeds, is refused, or all attempts are used up."""
        for attempt in range(1, self._attempts + 1):
            result = self._attempt(send, read, patience)
            if not isinstance(result, Failure):
                return result
            wait_s = delay_s(result, attempt)
            if result.is_refusal:
                raise ServerError(f'{self.url}: the server refuses the request: {result.message}', result.status)
            if attempt == self._attempts or time.monotonic() + wait_s >= patience.deadline_s:
                raise ServerError(f'{self.url}: {result.message}; tried {_times(attempt)}', result.status)
            logger.warning('%s: %s; next attempt in %.1f s', self.url, result.message, wait_s)
            _sleep(wait_s, patience.is_canceled)
        raise AssertionError('unreachable: the last attempt returns or raises')

    def _attempt(
        self, send: Callable[[], Awaitable[Any]], read: Callable[[Any], Result], patience: Patience
    ) -> Result | Failure:
        """Send a request once; return what was read, or why there is nothing."""
        from openai import APIConnectionError, APIStatusError

        async def work() -> Any:
            return await send()

        deadline_s = min(patience.deadline_s, time.monotonic() + self._attempt_timeout_s)
        began_s = time.monotonic()
        try:
            return read(self._background.wait(work, deadline_s, patience.is_canceled))
        except DeadlineError:
            raise ServerError(f'{self.url}: no complete answer within {time.monotonic() - began_s:.1f} s') from None
        except NoCompletionError as error:
            return Failure(f'the answer cannot be used: {error}', 200)
        except APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            return Failure(f'status {error.status_code}, {_detail(error.body)}', error.status_code, headers)
        except APIConnectionError as error:
            return Failure(f'no connection ({error.__cause__ or error})')


def _check_url(url: str) -> None:
    expected = 'vlm: expected a URL such as http://localhost:8000/v1'
    try:
        parts = urlsplit(url)
        has_password = '@' in parts.netloc
        is_address = parts.scheme in ('http', 'https') and bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # of the port, or of an IPv6 address
        raise ConfigError(f'{expected}, got {url!r} ({error})') from None
    if has_password:
        # Not shown: it would be written into logs.
        raise ConfigError(f'{expected}, got one with a user name or password; use api_key_env for a key')
    if not is_address:
        raise ConfigError(f'{expected}, got {url!r}')


def _open_client(url: str, api_key: str) -> AsyncOpenAI:
    try:
        from openai import AsyncOpenAI, Timeout
    except ImportError as error:
        message = (
            f"vlm: a server needs the package openai ({error}); install the extra agent, or pip install 'openai>=1.66'"
        )
        raise ConfigError(message) from None
    # Repeating and giving up are done here. While the model thinks, there may be minutes between two bytes.
    timeout = Timeout(None, connect=CONNECT_TIMEOUT_S)
    return AsyncOpenAI(base_url=url, api_key=api_key or NO_KEY, max_retries=0, timeout=timeout)


def _detail(body: object) -> str:
    """Return what a server says about an error: the message of its JSON, or the beginning of its page."""
    text = str(body.get('message') or body) if isinstance(body, dict) else str(body or 'no message')
    text = ' '.join(text.split())
    return text if len(text) <= DETAIL_CHARS else f'{text[:DETAIL_CHARS]}...'


def _sleep(seconds: float, is_canceled: Callable[[], bool]) -> None:
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        raise_if_canceled(is_canceled)
        time.sleep(min(POLL_S, left_s))


def _times(count: int) -> str:
    return 'once' if count == 1 else f'{count} times'
