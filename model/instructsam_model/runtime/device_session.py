"""`DeviceSession`: threads, memory and the end of a model on a device, the same for every segmenter."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext

import torch

from instructsam_model.errors import InferenceError
from instructsam_model.runtime.threads import Threads


class DeviceSession:
    """The time from loading a model to closing it.

    Args:
        device: of the model.
        weight_bytes: size of its weights. A number, because counting takes milliseconds and the node asks after every
            request.
        threads: CPU threads of a request; None for torch's current number.

    Attributes:
        is_closed: whether `close` was called.
    """

    def __init__(self, device: torch.device, weight_bytes: int, threads: Threads | None = None) -> None:
        self.is_closed = False
        self._device = device
        self._weight_bytes = weight_bytes
        self._threads = threads

    def use(self) -> AbstractContextManager[None]:
        """Return a context for one request, with the session's number of threads.

        Raises:
            InferenceError: the session is closed.
        """
        if self.is_closed:
            raise InferenceError('the segmenter is closed; load another one')
        return self._threads.in_use() if self._threads is not None else nullcontext()

    def memory_bytes(self) -> int:
        """Return the memory that torch has reserved on the GPU; on a CPU the size of the weights; 0 once closed."""
        if self.is_closed:
            return 0
        return int(torch.cuda.memory_reserved(self._device)) if self._device.type == 'cuda' else self._weight_bytes

    def close(self) -> None:
        """Return freed memory to the device; called when the model has no references any more."""
        self.is_closed = True
        gc.collect()  # modules and CUDA graphs refer to each other
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()
