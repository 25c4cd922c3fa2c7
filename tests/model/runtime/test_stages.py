"""Named stages: observers, profiler traces and unknown names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from instructsam_model.errors import ConfigError
from instructsam_model.runtime.stages import observed, stage


def test_observer_sees_stages_while_it_is_registered() -> None:
    events: list[str] = []

    @contextmanager
    def observe(name: str) -> Iterator[None]:
        events.append(f'enter {name}')
        yield
        events.append(f'leave {name}')

    with observed(observe), stage('text'), stage('prefill'):
        pass
    with stage('text'):
        pass
    assert events == ['enter text', 'enter prefill', 'leave prefill', 'leave text']


def test_observer_context_is_closed_when_the_stage_fails() -> None:
    left = []

    @contextmanager
    def observe(name: str) -> Iterator[None]:
        try:
            yield
        finally:
            left.append(name)

    with pytest.raises(ZeroDivisionError), observed(observe), stage('text'):
        raise ZeroDivisionError
    with stage('prefill'):
        pass
    assert left == ['text']


def test_profiler_shows_the_stage() -> None:
    @stage('sam3 decode')
    def add() -> torch.Tensor:
        return torch.ones(2) + 1

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        add()
    assert 'instructsam: sam3 decode' in {event.key for event in profile.key_averages()}


def test_unknown_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected one of preprocess.* got 'sam3'"), stage('sam3'):
        pass
