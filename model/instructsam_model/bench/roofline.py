"""Arithmetic of an inference and peak speed of the device: together a lower bound of the latency (roofline)."""

from __future__ import annotations

import platform
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from instructsam_model.runtime.device import synchronize

REPEATS = 5


def count_arithmetic() -> FlopCounterMode:
    """Return a context that counts FLOPs of matrix products and attention; torch alone misses attention on a CPU."""
    aten = torch.ops.aten
    return FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: _forward_flop,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward_flop,
        },
    )


def _forward_flop(*shapes: Any, **_: Any) -> int:
    # Shapes of query, key and value.
    return int(sdpa_flop_count(*shapes[:3]))  # type: ignore[no-untyped-call]


def _backward_flop(*shapes: Any, **_: Any) -> int:
    # Shapes of the gradient, query, key and value.
    return int(sdpa_backward_flop_count(*shapes[:4]))  # type: ignore[no-untyped-call]


def peak_tflop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the peak speed of the device with large matrix products, TFLOP/s; the best of several."""
    side = 8192 if device.type == 'cuda' else 2048
    # Small values, so that products do not overflow in half precision.
    matrix = torch.full((side, side), 0.01, device=device, dtype=dtype)
    seconds = []
    for _ in range(REPEATS):
        synchronize(device)
        start = time.perf_counter()
        matrix @ matrix
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    # n^3 multiplications and as many additions.
    return 2 * side**3 / min(seconds) / 1e12


def describe_device(device: torch.device) -> str:
    """Return the name of the device; for a CPU with the vector instructions that torch uses."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{platform.processor() or "cpu"} with {torch.backends.cpu.get_cpu_capability()}'
