"""Choice of the precision (dtype) in which weights are loaded."""

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
"""CPU flags of native bfloat16 arithmetic; without them torch emulates it, much slower than float32."""
MIN_SPEEDUP = 1.3
"""bfloat16 costs accuracy, so `auto` uses it only if it is at least this much faster than float32."""
BENCHMARK_LAYERS = ((512, 256, 1024), (512, 1024, 256), (32, 1024, 1024))
"""Rows, input and output features of the timed linear layers: the two of an encoder's MLP, and one of short text."""
BENCHMARK_BUDGET_S = 0.5
MAX_RUNS = 10


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype of that name; None for the dtype stored in the checkpoint.

    `auto` keeps the stored dtype on a GPU. On a CPU it is bfloat16 if a measurement shows that it is faster, else
    float32, whatever is stored; the choice and its reason are logged.

    Raises:
        ConfigError: `name` is neither `auto` nor one of `DTYPES`.
    """
    if name in DTYPES:
        return DTYPES[name]
    if name != 'auto':
        raise ConfigError(f'dtype: expected auto or one of {", ".join(DTYPES)}, got {name!r}')
    if device.type != 'cpu':
        return None
    dtype, reason = fastest_cpu_dtype()
    logger.info('dtype: %s on this CPU: %s', str(dtype).removeprefix('torch.'), reason)
    return dtype


@cache
def fastest_cpu_dtype() -> tuple[torch.dtype, str]:
    """Return the dtype in which this CPU is fastest, and the reason; measures once per process.

    CPU flags alone are not enough: the math library may be configured not to use them, or a virtual machine may
    emulate the instructions.
    """
    flags = [flag for flag in BF16_FLAGS if flag in cpu_flags()]
    if not flags:
        return torch.float32, f'it has none of the flags {", ".join(BF16_FLAGS)}'
    speedup = measure_bfloat16_speedup()
    dtype = torch.bfloat16 if speedup >= MIN_SPEEDUP else torch.float32
    return dtype, f'linear layers in bfloat16 are {speedup:.2f} times as fast as in float32 ({", ".join(flags)})'


def cpu_flags() -> frozenset[str]:
    """Return the CPU flags in /proc/cpuinfo; empty on systems other than Linux on x86."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    # One line per CPU; all have the same flags.
    return frozenset(next((line.partition(':')[2] for line in lines if line.startswith('flags')), '').split())


def measure_bfloat16_speedup() -> float:
    """Measure the speed-up of linear layers in bfloat16 over float32, for at most about `BENCHMARK_BUDGET_S`.

    Measures CPU time of one thread, so that other processes and threads matter little, and takes the fastest of
    several runs, with the two dtypes alternating.
    """
    layers = {dtype: _benchmark_tensors(dtype) for dtype in (torch.float32, torch.bfloat16)}
    best_s = dict.fromkeys(layers, float('inf'))
    started_s = time.thread_time()
    with number_of_threads(1), torch.inference_mode():
        for run in range(MAX_RUNS):
            if run > 1 and time.thread_time() - started_s > BENCHMARK_BUDGET_S:  # run 0 initializes the math library
                break
            # Both dtypes in each run, so that a change of the clock rate affects both.
            for dtype, pairs in layers.items():
                before_s = time.thread_time()
                for rows, weight in pairs:
                    F.linear(rows, weight)
                best_s[dtype] = min(best_s[dtype], time.thread_time() - before_s)
    return best_s[torch.float32] / best_s[torch.bfloat16]


def _benchmark_tensors(dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Make inputs [rows, in] and weights [out, in] of `BENCHMARK_LAYERS`."""
    return [
        (torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype))
        for rows, inputs, outputs in BENCHMARK_LAYERS
    ]
