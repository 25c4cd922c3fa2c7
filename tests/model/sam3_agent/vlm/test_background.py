from __future__ import annotations

import asyncio
import threading
import time

import pytest

from instructsam_model.datatypes import never
from instructsam_model.errors import CanceledError
from instructsam_model.sam3_agent.vlm.background import Background, DeadlineError


def test_results_and_errors_reach_the_caller_within_a_running_loop_too() -> None:
    background = Background()

    async def answer() -> int:
        return 5

    async def fail() -> int:
        raise KeyError('x')

    async def notebook() -> int:
        return background.wait(answer, float('inf'), never)

    assert asyncio.run(notebook()) == 5
    with pytest.raises(KeyError):
        background.wait(fail, float('inf'), never)
    background.close(_nothing)
    background.close(_nothing)


def test_canceled_and_late_work_is_canceled() -> None:
    background = Background()
    ended: list[str] = []
    ended_all = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append('canceled')
            if len(ended) == 2:
                ended_all.set()
            raise

    threads: list[int] = []

    def is_canceled() -> bool:
        threads.append(threading.get_ident())
        return len(threads) > 1

    with pytest.raises(CanceledError):
        background.wait(hang, float('inf'), is_canceled)
    assert set(threads) == {threading.get_ident()}
    with pytest.raises(DeadlineError):
        background.wait(hang, time.monotonic() + 0.02, never)
    assert ended_all.wait(20)
    background.close(_nothing)


async def _nothing() -> None:
    pass
