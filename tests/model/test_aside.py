"""Work that goes on beside the caller's own."""

from __future__ import annotations

import threading

import pytest
import torch

from instructsam_model.aside import Aside

WAIT_S = 30


def test_both_go_on_at_the_same_time() -> None:
    here, there = threading.Event(), threading.Event()

    def work() -> bool:
        there.set()
        return here.wait(WAIT_S)

    with Aside().doing(work) as result:
        assert there.wait(WAIT_S)
        here.set()
        assert result()


def test_threads_are_shared_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, int]] = []
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 5)
    monkeypatch.setattr(torch, 'set_num_threads', lambda count: given.append((threading.current_thread().name, count)))
    with Aside().doing(lambda: None) as result:
        result()
    here = threading.main_thread().name
    assert [count for name, count in given if name == here] == [3, 5]
    assert [count for name, count in given if name != here] == [2]


def test_what_either_raises_is_raised_when_both_are_done() -> None:
    aside, done = Aside(), threading.Event()
    with pytest.raises(ZeroDivisionError), aside.doing(lambda: 1 / 0) as result:
        result()
    with pytest.raises(KeyError), aside.doing(done.set):
        raise KeyError
    assert done.is_set()


def test_nothing_there_gets_gradients() -> None:
    with Aside().doing(lambda: torch.ones(1, requires_grad=True) * 2) as result:
        assert not result().requires_grad
