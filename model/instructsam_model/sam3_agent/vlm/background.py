"""`Background`: requests that a caller waits for, but can give up at any time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from instructsam_model.errors import InferenceError, raise_if_canceled

POLL_S = 0.05
"""How often the caller is asked whether it wants to give up."""
CLOSE_TIMEOUT_S = 5.0

Result = TypeVar('Result')


class DeadlineError(InferenceError):
    """There was no result in time."""


class Background:
    """An event loop in a thread of its own, started with the first request.

    A thread of its own, because the caller's may have a running loop already, as in a notebook.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def wait(
        self,
        work: Callable[[], Coroutine[Any, Any, Result]],
        deadline_s: float,
        is_canceled: Callable[[], bool],
    ) -> Result:
        """Run a coroutine to its end.

        Args:
            work: makes the coroutine.
            deadline_s: when to give up, on the clock `time.monotonic`.
            is_canceled: called from the caller's thread, every `POLL_S`.

        Raises:
            CanceledError: `is_canceled` returned True. The coroutine is canceled, which closes its connection.
            DeadlineError: it did not end in time; it is canceled too.
            Exception: whatever the coroutine raised.
        """
        future = asyncio.run_coroutine_threadsafe(work(), self._started())
        try:
            while not concurrent.futures.wait(
                [future], timeout=max(0.0, min(POLL_S, deadline_s - time.monotonic()))
            ).done:
                raise_if_canceled(is_canceled)
                if time.monotonic() >= deadline_s:
                    raise DeadlineError('no complete answer in time')
            return future.result()
        finally:
            future.cancel()  # nothing happens if it has ended

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a last coroutine and end the thread; closing twice is allowed."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(last(), loop).result(CLOSE_TIMEOUT_S)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CLOSE_TIMEOUT_S)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_forever, args=(self._loop,), name='vlm-requests', daemon=True
                )
                self._thread.start()
            return self._loop


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
