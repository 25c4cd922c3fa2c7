"""What the training loop needs of micro-batches and their builder; each family of networks has its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch

AnyExample = TypeVar('AnyExample')


class MicroBatch(Protocol):
    """Inputs and targets of one forward pass."""

    @property
    def inputs(self) -> Any:
        """The only argument of the network."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """File and index of each sample, for reports."""
        ...

    @property
    def errors(self) -> tuple[str, ...]:
        """Samples and annotations that could not be read, for reports."""
        ...

    @property
    def unreadable(self) -> int:
        """Number of samples that could not be read."""
        ...

    @property
    def counts(self) -> bool:
        """False for the placeholder of a micro-batch without a readable sample.

        It has no influence on the losses and only keeps the processes synchronized.
        """
        ...

    def to(self, device: torch.device) -> MicroBatch:
        """Copy the batch to a device; asynchronous if its memory is pinned."""
        ...

    def pin_memory(self) -> MicroBatch:
        """Copy the batch to pinned memory; called by torch's data loader."""
        ...


class BatchBuilder(Protocol[AnyExample]):
    """Makes examples from samples, and micro-batches from examples."""

    def build(self, sample: Any, seed: str) -> AnyExample:
        """Read the image and make an example; the same sample and seed give the same one.

        Raises:
            FrameError: the image cannot be read, or does not fit the masks.
        """
        ...

    def blank(self) -> AnyExample:
        """Return an example without targets, for a micro-batch without a readable sample."""
        ...

    def collate(
        self, examples: Sequence[AnyExample], errors: Sequence[str], *, unreadable: int, counts: bool
    ) -> MicroBatch:
        """Combine examples, at least one, into a micro-batch with these fields."""
        ...
