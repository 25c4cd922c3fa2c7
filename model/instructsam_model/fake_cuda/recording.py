"""Recorded operations: where they were called, what they launch, and whether the host waits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal['kernel', 'view', 'cpu', 'wait', 'replay', 'event']
REST = 'rest'
"""Stage of operations outside of all stages."""


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes:
        name: of the aten operation, such as `addmm`, or of another call, such as `cuda.synchronize`.
        kind: `kernel`: launched asynchronously; `wait`: the host waits until the device has finished all earlier work;
            `view`: nothing runs on the device (views, allocations); `cpu`: computed on the host; `replay`: launch of a
            captured graph; `event`: streams and events are ordered.
        stage: see `instructsam_model.runtime.stages`, or `rest`.
        where: `file:line` of the calling code, and of the code of this project that led to it; see `find_call_site`.
        graph: name of the captured graph that contains the operation; empty for none.
        launches: kernels and copies on the device.
        flops: floating-point operations of matrix products, convolutions and attention; 2 per multiply-add.
        bytes: bytes read from and written to device memory.
        dtype: of the first output.
        shape: of the first output.
        note: further details, such as the size of a copy.
        stream: number of the stream; 0 for the default stream.
        region: number of the compiled region that contains the operation; 0 for none.
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
    """Operations in execution order, and peak memory.

    Attributes:
        ops: all operations; those of a captured graph once per replay.
        peak_bytes: peak of all device memory in use, weights included.
        peak_by_stage: the same for each stage.
    """

    ops: list[Op] = field(default_factory=list)
    peak_bytes: int = 0
    peak_by_stage: dict[str, int] = field(default_factory=dict)

    @property
    def kernels(self) -> int:
        """Number of asynchronous kernels and copies, those inside of captured graphs included."""
        return sum(op.launches for op in self.ops if op.kind == 'kernel')

    @property
    def launches(self) -> int:
        """Number of launches by the host: kernels and copies outside of captured graphs, and one per graph replay."""
        # A synchronous copy is launched as well, before the host waits for it.
        outside = sum(op.launches for op in self.ops if op.kind in ('kernel', 'wait') and not op.graph)
        return outside + sum(op.kind == 'replay' for op in self.ops)

    @property
    def host_waits(self) -> list[Op]:
        """The operations for which the host waits."""
        return [op for op in self.ops if op.kind == 'wait']

    @property
    def flops(self) -> float:
        """FLOPs of all operations."""
        return sum(op.flops for op in self.ops)

    @property
    def bytes(self) -> float:
        """Memory traffic of all operations, bytes."""
        return sum(op.bytes for op in self.ops)

    def by_stage(self) -> dict[str, Recording]:
        """Return a recording per stage, in the order in which the stages first occur."""
        stages: defaultdict[str, Recording] = defaultdict(Recording)
        # A stage may occur several times, for example one per pass.
        for op in self.ops:
            stages[op.stage].ops.append(op)
        for name, recording in stages.items():
            recording.peak_bytes = self.peak_by_stage.get(name, 0)
        return dict(stages)

    def note_memory(self, stage: str, total: int) -> None:
        """Update the peaks with the memory in use now, bytes."""
        self.peak_bytes = max(self.peak_bytes, total)
        self.peak_by_stage[stage] = max(self.peak_by_stage.get(stage, 0), total)
