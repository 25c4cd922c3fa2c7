"""Estimate of how long a recording would take on a GPU: a model, not a measurement.

The model has two clocks. The host clock h advances with every operation: `launch_us` for a launch, 1 us for a view, 3
us for a CPU operation. The device clock d processes launched work in order:

    kernel          duration = max(FLOPs / (peak x fraction), bytes / (bandwidth x fraction)) + kernel_us
                    h += launch_us, then d = max(d, h) + duration
    captured graph  h += graph_launch_us, then d = max(d, h), and d += duration for each of its kernels
    host wait       like a kernel that copies its bytes, then h = max(h, d) + wait_us

The time is max(h, d) at the end. Streams count as one, because two kernels that each fill the GPU take as long in
parallel as in sequence. Caches, lower clock rates under load, and the efficiency of kernels for particular shapes are
not modeled.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from instructsam_model.fake_cuda.gpus import GpuSpec
from instructsam_model.fake_cuda.recording import Op, Recording

VIEW_US, CPU_US, EVENT_US = 1.0, 3.0, 2.0


@dataclass(frozen=True)
class ModeledTime:
    """Result of the model.

    Attributes:
        ms: time from the first operation to the last result.
        busy_ms: time in which the device computes.
        stages_ms: by how much each stage advances the later of the two clocks.
    """

    ms: float
    busy_ms: float
    stages_ms: dict[str, float]


def model_time(recording: Recording, gpu: GpuSpec) -> ModeledTime:
    """Estimate the time of a recording on a GPU."""
    host = device = busy = 0.0
    stages: defaultdict[str, float] = defaultdict(float)
    for op in recording.ops:
        before = max(host, device)
        # The host launches, then the device computes as soon as it is free, then the host may wait.
        host += host_us(op, gpu)
        if op.kind in ('kernel', 'wait') and op.launches:
            duration = device_us(op, gpu)
            busy += duration
            device = max(device, host) + duration
        if op.kind == 'wait':
            host = max(host, device) + gpu.wait_us
        stages[op.stage] += max(host, device) - before
    total = max(host, device)
    return ModeledTime(total / 1e3, busy / 1e3, {name: us / 1e3 for name, us in stages.items()})


def host_us(op: Op, gpu: GpuSpec) -> float:
    """Return the host time of an operation without waiting, us; 0 for operations inside of captured graphs."""
    if op.graph and op.kind != 'replay':
        return 0.0
    costs = {
        'view': VIEW_US,
        'cpu': CPU_US,
        'event': EVENT_US,
        'kernel': gpu.launch_us,
        'wait': gpu.launch_us,
        'replay': gpu.graph_launch_us,
    }
    return costs[op.kind]


def device_us(op: Op, gpu: GpuSpec) -> float:
    """Return the device time of an operation, us."""
    if op.name.startswith('copy '):
        return op.bytes / (gpu.copy_gbyte_per_s * 1e3) + gpu.kernel_us * op.launches
    # Roofline: limited by arithmetic or by memory bandwidth.
    peak = gpu.single_tflop_per_s if op.dtype in ('float32', 'float64') else gpu.half_tflop_per_s
    compute = op.flops / (peak * gpu.compute_fraction * 1e6)
    memory = op.bytes / (gpu.tbyte_per_s * gpu.memory_fraction * 1e6)
    return max(compute, memory) + gpu.kernel_us * op.launches


def without_graphs(recording: Recording) -> Recording:
    """Return the same operations launched one by one instead of as captured graphs."""
    ops = [replace(op, graph='') for op in recording.ops if op.kind != 'replay']
    return replace(recording, ops=ops)
