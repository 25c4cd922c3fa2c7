"""What ran: every operation with its place in the code, what it would launch, and where the host would wait."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal['kernel', 'view', 'cpu', 'wait', 'replay', 'event']
REST = 'rest'
"""The stage of what is in none."""


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes:
        name: of aten's operation, `addmm`, or what else was called, `cuda.synchronize`.
        kind: `kernel` is launched and the host goes on; `wait`: the host goes on when the device has done everything
            before it; `view`: nothing happens on the device (views, allocations); `cpu`: computed by the host;
            `replay`: launch of a captured graph; `event`: streams and events are ordered.
        stage: see `instructsam_model.runtime.stages`, or `rest`.
        where: `file:line` of the code that asked for it, followed by that of this project's code that led there.
        graph: name of the captured graph that it is part of; empty outside.
        launches: kernels and copies on the device.
        flops: floating-point operations of matrix products, convolutions and attention; 2 for a multiply-add.
        bytes: read from and written to the device's memory.
        dtype: of its (first) result.
        shape: of its (first) result.
        note: more about it, such as the direction of a copy.
        stream: number of the stream; 0 for the default one.
        region: number of the call of a compiled function that it is part of; 0 outside.
    """

    name: str
    kind: Kind
    stage: str
    where: str
    graph: str = ''
    launches: int = 0
    flops: float = 0.0
    bytes: float = 0.0
    dtype: str = ''
    shape: tuple[int, ...] = ()
    note: str = ''
    stream: int = 0
    region: int = 0

    def __str__(self) -> str:
        return f'{self.name} at {self.where} ({self.stage})' + (f': {self.note}' if self.note else '')


@dataclass
class Recording:
    """Operations in their order, and the memory that they took.

    Attributes:
        ops: all of them; those of a captured graph each time that it is replayed.
        peak_bytes: of the device's memory, weights and whatever else was alive included.
        peak_by_stage: the same for each stage.
    """

    ops: list[Op] = field(default_factory=list)
    peak_bytes: int = 0
    peak_by_stage: dict[str, int] = field(default_factory=dict)

    @property
    def kernels(self) -> int:
        """Kernels and copies that the host does not wait for, inside captured graphs too."""
        return sum(op.launches for op in self.ops if op.kind == 'kernel')

    @property
    def launches(self) -> int:
        """What the host asks of the device: all outside of captured graphs, and a graph as one."""
        outside = sum(op.launches for op in self.ops if op.kind in ('kernel', 'wait') and not op.graph)
        return outside + sum(op.kind == 'replay' for op in self.ops)

    @property
    def host_waits(self) -> list[Op]:
        """The operations for which the host waits, in their order."""
        return [op for op in self.ops if op.kind == 'wait']

    @property
    def flops(self) -> float:
        """Of all operations."""
        return sum(op.flops for op in self.ops)

    @property
    def bytes(self) -> float:
        """Of all operations."""
        return sum(op.bytes for op in self.ops)

    def by_stage(self) -> dict[str, Recording]:
        """The operations of each stage, in the order in which stages were first entered."""
        stages: defaultdict[str, Recording] = defaultdict(Recording)
        for op in self.ops:
            stages[op.stage].ops.append(op)
        for name, recording in stages.items():
            recording.peak_bytes = self.peak_by_stage.get(name, 0)
        return dict(stages)

    def note_memory(self, stage: str, total: int) -> None:
        """Remember that so many bytes were alive."""
        self.peak_bytes = max(self.peak_bytes, total)
        self.peak_by_stage[stage] = max(self.peak_by_stage.get(stage, 0), total)
