"""Two back ends without networks, `squares` and `circles`, registered by `register`; they read no configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from instructsam_model import backends
from instructsam_model.backends import Backend, LoadSettings
from instructsam_model.options import Options, option
from instructsam_model.weights.hub import CheckpointSource
from tests.support.fake_segmenter import FakeSegmenter

LOADED: list[tuple[str, LoadSettings, Options, FakeSegmenter]] = []
"""What was loaded: name of the back end, settings, options, segmenter."""


@dataclass(frozen=True)
class SquaresOptions(Options):
    side: int = option(4, 'Side of the squares in pixels.', range_=(1, 100))


@dataclass(frozen=True)
class CirclesOptions(Options):
    kind: str = option('full', 'Kind of circles.', choices=('full', 'half'))


def _backend(name: str, options: type[Options]) -> Backend:
    def load(source: CheckpointSource, settings: LoadSettings, values: Any) -> FakeSegmenter:
        segmenter = FakeSegmenter()
        LOADED.append((name, settings, values, segmenter))
        return segmenter

    return Backend(name, f'Finds {name}.', options, lambda source: False, load)


SQUARES = _backend('squares', SquaresOptions)
CIRCLES = _backend('circles', CirclesOptions)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register both for one test."""
    LOADED.clear()
    monkeypatch.setitem(backends.BUILT_IN, 'squares', f'{__name__}:SQUARES')
    monkeypatch.setitem(backends.BUILT_IN, 'circles', f'{__name__}:CIRCLES')
