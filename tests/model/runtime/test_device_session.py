"""Threads, memory and closing, shared by the segmenters; `tests/conformance` tests them on real models."""

from __future__ import annotations

import pytest
import torch

from instructsam_model import InferenceError
from instructsam_model.runtime.device_session import DeviceSession
from instructsam_model.runtime.threads import Threads

CPU = torch.device('cpu')


def test_memory_is_that_of_the_weights_until_the_session_is_closed() -> None:
    session = DeviceSession(CPU, 1000)
    assert session.memory_bytes() == 1000
    session.close()
    assert session.memory_bytes() == 0


def test_closed_session_refuses_requests() -> None:
    session = DeviceSession(CPU, 0)
    session.close()
    with pytest.raises(InferenceError, match='closed'):
        session.use()


def test_number_of_threads_holds_during_a_request_only() -> None:
    before = torch.get_num_threads()
    with DeviceSession(CPU, 0, Threads(before + 1)).use():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
