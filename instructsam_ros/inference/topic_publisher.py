"""`TopicPublisher`: what the pipeline needs of the publishers of a camera. Imports no ROS."""

from __future__ import annotations

import threading
from typing import Protocol

from instructsam_ros.inference.requests import InferenceResult


class TopicPublisher(Protocol):
    """The publishers of one camera; for any thread."""

    def publish(self, result: InferenceResult, canceled: threading.Event) -> float | None:
        """Publish a result; return the seconds since the arrival of its image, None if it is canceled."""
        ...

    def withdraw(self, instruction: str, reason: str) -> None:
        """Withdraw the results of an instruction."""
        ...

    def withdraw_all(self, reason: str) -> None:
        """Withdraw all results."""
        ...

    def open(self) -> None:
        """Publish results from now on."""
        ...

    def close(self, reason: str) -> None:
        """Withdraw all results and publish no more."""
        ...

    @property
    def needs_scene(self) -> bool:
        """Whether depth of the whole image is needed, even if there are no instances."""
        ...
