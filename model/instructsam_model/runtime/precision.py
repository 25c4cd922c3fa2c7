"""Which precision the weights are loaded in."""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.errors import ConfigError
from instructsam_model.runtime.threads import number_of_threads

logger = logging.getLogger(__name__)

CPUINFO = Path('/proc/cpuinfo')

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
BF16_FLAGS = ('avx512_bf16', 'amx_bf16')
"""What the CPU must have: without, torch emulates bfloat16, many times as slow as float32."""
WORTHWHILE = 1.3
"""bfloat16 has to be so many times as fast: it costs digits."""
LAYERS = ((512, 256, 1024), (512, 1024, 256), (32, 1024, 1024))
"""Rows, inputs and outputs of the layers that are timed: both of an encoder's perceptron, and one of a short text."""
BUDGET_S = 0.5
MAX_RUNS = 10


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """The precision that `name` stands for on a device; None for that of the file.

    `auto` is that of the file on a GPU. A CPU has its own best, whatever the file has: bfloat16 where that is measured
    to be faster, else float32. One line of the log says which, and why.

    Raises:
        ConfigError: `name` is neither `auto` nor one of `DTYPES`.
    """
    if name in DTYPES:
        return DTYPES[name]
    if name != 'auto':
        raise ConfigError(f'dtype: expected auto or one of {", ".join(DTYPES)}, got {name!r}')
    if device.type != 'cpu':
        return None
    dtype, reason = best_of_cpu()
    logger.info('dtype: %s on this CPU: %s', str(dtype).removeprefix('torch.'), reason)
    return dtype


@cache
def best_of_cpu() -> tuple[torch.dtype, str]:
    """The precision in which this CPU is fastest, and how that is known; takes `BUDGET_S`, once in a process.

    The flags alone are no proof: a library may be told not to use them, or a virtual machine may emulate them.
    """
    flags = [flag for flag in BF16_FLAGS if flag in cpu_flags()]
    if not flags:
        return torch.float32, f'it has none of {", ".join(BF16_FLAGS)}'
    ratio = time_ratio()
    dtype = torch.bfloat16 if ratio >= WORTHWHILE else torch.float32
    return dtype, f'linear layers in bfloat16 are {ratio:.2f} times as fast as in float32 ({", ".join(flags)})'


def cpu_flags() -> frozenset[str]:
    """What the kernel says that the CPU can do; nothing where there is no Linux on x86."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(':')[2] for line in lines if line.startswith('flags')), '').split())


def time_ratio() -> float:
    """How many times as fast linear layers are in bfloat16 as in float32.

    One thread, and its own time of the CPU, so that other processes and threads change little; of several runs the
    fastest counts, the two precisions in turn.
    """
    layers = {dtype: _layers(dtype) for dtype in (torch.float32, torch.bfloat16)}
    best_s = dict.fromkeys(layers, float('inf'))
    started_s = time.thread_time()
    with number_of_threads(1), torch.inference_mode():
        for run in range(MAX_RUNS):
            if run > 1 and time.thread_time() - started_s > BUDGET_S:  # the first prepares the library
                break
            for dtype, pairs in layers.items():
                before_s = time.thread_time()
                for rows, weight in pairs:
                    F.linear(rows, weight)
                best_s[dtype] = min(best_s[dtype], time.thread_time() - before_s)
    return best_s[torch.float32] / best_s[torch.bfloat16]


def _layers(dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Inputs [rows, in] and weights [out, in] of `LAYERS`."""
    return [
        (torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype))
        for rows, inputs, outputs in LAYERS
    ]
