"""Typed errors."""

from __future__ import annotations

import pytest

from instructsam_model.errors import CanceledError, InferenceError, raise_if_canceled


def test_canceled_request_raises() -> None:
    raise_if_canceled(lambda: False)
    with pytest.raises(CanceledError, match='canceled'):
        raise_if_canceled(lambda: True)


def test_cancellation_is_an_inference_error() -> None:
    """Callers that handle failures of the model handle a canceled request too."""
    assert issubclass(CanceledError, InferenceError)
