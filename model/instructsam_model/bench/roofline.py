"""How much there is to compute, and how fast the device computes at its best: together a floor for every time."""

from __future__ import annotations

import platform
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from instructsam_model.runtime.device import synchronize

REPEATS = 5


def count_arithmetic() -> FlopCounterMode:
    """A context that counts products of matrices, attention included; torch by itself leaves out that of the CPU."""
    aten = torch.ops.aten
    return FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: _forward_flop,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward_flop,
        },
    )


def _forward_flop(*shapes: Any, **_: Any) -> int:
    return int(sdpa_flop_count(*shapes[:3]))  # type: ignore[no-untyped-call]


def _backward_flop(*shapes: Any, **_: Any) -> int:
    return int(sdpa_backward_flop_count(*shapes[:4]))  # type: ignore[no-untyped-call]


def peak_tflop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of the best of some products of large matrices: nothing in a network is computed faster."""
    side = 8192 if device.type == 'cuda' else 2048
    matrix = torch.full((side, side), 0.01, device=device, dtype=dtype)
    seconds = []
    for _ in range(REPEATS):
        synchronize(device)
        start = time.perf_counter()
        matrix @ matrix
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds) / 1e12


def describe_device(device: torch.device) -> str:
    """Its name; of a CPU also the widest instructions that torch uses, on which half precision depends."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{platform.processor() or "cpu"} with {torch.backends.cpu.get_cpu_capability()}'
