"""How long a recording would take on a card: a model, not a measurement.

Two clocks run. The host's, h, goes on with every operation: a launch takes it `launch_us`, a view 1 us, an operation of
its own 3 us. The device's, d, works through what it was given, in order:

    kernel          duration = max(FLOPs / (peak x fraction), bytes / (bandwidth x fraction)) + kernel_us
                    h += launch_us, then d = max(d, h) + duration
    captured graph  h += graph_launch_us, then d = max(d, h), and d += duration for each of its kernels
    host waits      as a copy of its bytes, then h = max(h, d) + wait_us

What is left when both are done, max(h, d), is the time. Streams are taken as one: two kernels that each fill the card
take as long side by side as one after the other. Caches, clocks that fall under load, and how well a kernel fits its
shapes are left out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from instructsam_model.fake_cuda.cards import Card
from instructsam_model.fake_cuda.recording import Op, Recording

VIEW_US, CPU_US, EVENT_US = 1.0, 3.0, 2.0


@dataclass(frozen=True)
class ModeledTime:
    """What the model says.

    Attributes:
        ms: from the first operation to the last result.
        busy_ms: of which the device computes.
        stages_ms: by how much each stage moves the later of the two clocks.
    """

    ms: float
    busy_ms: float
    stages_ms: dict[str, float]


def model_time(recording: Recording, card: Card) -> ModeledTime:
    """The time of a recording on a card, captured graphs as they were captured."""
    host = device = busy = 0.0
    stages: defaultdict[str, float] = defaultdict(float)
    for op in recording.ops:
        before = max(host, device)
        host += host_us(op, card)
        if op.kind in ('kernel', 'wait') and op.launches:
            duration = device_us(op, card)
            busy += duration
            device = max(device, host) + duration
        if op.kind == 'wait':
            host = max(host, device) + card.wait_us
        stages[op.stage] += max(host, device) - before
    total = max(host, device)
    return ModeledTime(total / 1e3, busy / 1e3, {name: us / 1e3 for name, us in stages.items()})


def host_us(op: Op, card: Card) -> float:
    """What an operation takes of the host's time, waits left out; nothing within a captured graph."""
    if op.graph and op.kind != 'replay':
        return 0.0
    costs = {
        'view': VIEW_US,
        'cpu': CPU_US,
        'event': EVENT_US,
        'kernel': card.launch_us,
        'wait': card.launch_us,
        'replay': card.graph_launch_us,
    }
    return costs[op.kind]


def device_us(op: Op, card: Card) -> float:
    """What an operation takes of the device's time."""
    if op.name.startswith('copy '):
        return op.bytes / (card.copy_gbyte_per_s * 1e3) + card.kernel_us * op.launches
    peak = card.single_tflop_per_s if op.dtype in ('float32', 'float64') else card.half_tflop_per_s
    compute = op.flops / (peak * card.compute_fraction * 1e6)
    memory = op.bytes / (card.tbyte_per_s * card.memory_fraction * 1e6)
    return max(compute, memory) + card.kernel_us * op.launches


def without_graphs(recording: Recording) -> Recording:
    """The same operations, each launched by itself."""
    ops = [replace(op, graph='') for op in recording.ops if op.kind != 'replay']
    return replace(recording, ops=ops)
