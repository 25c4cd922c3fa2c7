"""The situations that a robot is in, and how long an answer takes in each, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from instructsam_model.bench.naive import NaivePipeline
from instructsam_model.bench.stages import STAGES, synchronise, watched
from instructsam_model.datatypes import Frame, Instruction
from instructsam_model.segmenter import InstructSAMSegmenter

SCENARIOS = {
    'cold': 'new frame, new instruction',
    'warm': 'new frame, the instruction of the frame before',
    'steady': 'likewise, and nothing has moved',
    'same frame': 'another instruction about the same frame',
    'same both': 'the same instruction about the same frame',
}
NAIVE = 'naive'
CELL = 32
"""Pixels of the squares that frames consist of."""
WARM_UP = 2


@dataclass
class Timing:
    """What one scenario took.

    Attributes:
        seconds: of each answer.
        stages: seconds by stage, of one answer watched by itself.
        tflop: arithmetic of one answer, counted.
    """

    seconds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    tflop: float = 0.0

    def percentile(self, percent: float) -> float:
        """Seconds that so many percent of the answers did not exceed."""
        return float(np.percentile(self.seconds, percent))


class Bench:
    """Asks a segmenter, which reuses answers, about frames of coloured squares.

    Args:
        segmenter: with `reuse_answers` and `steady_frames`.
        size_wh: of the frames, pixels.
        compare_naive: also answer the straightforward way.
    """

    def __init__(self, segmenter: InstructSAMSegmenter, size_wh: tuple[int, int], *, compare_naive: bool) -> None:
        self._segmenter = segmenter
        self._size_wh = size_wh
        self._generator = np.random.default_rng(0)
        self._naive = NaivePipeline(segmenter) if compare_naive else None
        self._asked = 0
        self._frame = self.new_frame()

    def new_frame(self) -> Frame:
        """A frame that nobody has seen."""
        width, height = self._size_wh
        cells = self._generator.integers(32, 224, (height // CELL + 1, width // CELL + 1, 3), dtype=np.uint8)
        return Frame(np.ascontiguousarray(cells.repeat(CELL, 0).repeat(CELL, 1)[:height, :width]))

    def with_noise(self, frame: Frame) -> Frame:
        """What a camera that sees the same thing again delivers."""
        noise = self._generator.integers(-8, 9, frame.image_rgb.shape, dtype=np.int8)
        return Frame((frame.image_rgb + noise).astype(np.uint8))

    def new_instruction(self) -> Instruction:
        """An instruction that nobody has given, of always the same length."""
        self._asked += 1
        return Instruction(f'Segment the red box number {10_000 + self._asked}.')

    def asks(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """One round: each scenario and what answers it; they follow on each other."""
        first, second = self.new_instruction(), self.new_instruction()
        self._frame = self.new_frame()
        yield 'cold', lambda: self._segmenter.segment(self._frame, first)
        yield 'same both', lambda: self._segmenter.segment(self._frame, first)
        yield 'same frame', lambda: self._segmenter.segment(self._frame, second)
        self._frame = self.new_frame()
        yield 'warm', lambda: self._segmenter.segment(self._frame, second)
        noisy = self.with_noise(self._frame)
        yield 'steady', lambda: self._segmenter.segment(noisy, second)
        if self._naive is not None:
            naive, frame = self._naive, self.new_frame()
            yield NAIVE, lambda: naive.answer(frame, first)

    def run(self, repeats: int, on_round: Callable[[], object] = lambda: None) -> dict[str, Timing]:
        """Time so many rounds, the scenarios in turn so that what slows the machine slows all of them."""
        timings: dict[str, Timing] = {}
        device = self._segmenter.network.device
        for number in range(WARM_UP + repeats):
            for name, ask in self.asks():
                synchronise(device)
                start = time.perf_counter()
                ask()
                synchronise(device)
                if number >= WARM_UP:
                    timings.setdefault(name, Timing()).seconds.append(time.perf_counter() - start)
            on_round()
        for name, ask in self.asks():
            with watched(self._segmenter) as seconds:
                start = time.perf_counter()
                answer = ask()
                total = time.perf_counter() - start
            if name != NAIVE:
                seconds['postprocess'] = answer.timings['postprocess']  # type: ignore[attr-defined]
            seconds['rest'] = total - sum(seconds.values())
            timings[name].stages = {stage: seconds.get(stage, 0.0) for stage in STAGES}
        for name, ask in self.asks():
            with FlopCounterMode(display=False) as counter:
                ask()
            timings[name].tflop = counter.get_total_flops() / 1e12
        return timings


def peak_memory_gib(device: torch.device) -> float:
    """Of the GPU's tensors, or of this process without one."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
