"""The situations that a robot is in, and how long an answer takes in each, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from instructsam_model.bench.naive import NaivePipeline
from instructsam_model.bench.roofline import count_arithmetic
from instructsam_model.bench.stages import STAGES, watched
from instructsam_model.datatypes import Frame, Instruction, Segmentation
from instructsam_model.instructsam.random_weights import PHRASE
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.device import synchronize

SCENARIOS = {
    'cold': 'new frame, new instruction',
    'warm': 'new frame, the instruction of the frame before',
    'steady': 'likewise, and nothing has moved',
    'same frame': 'another instruction about the same frame',
    'reworded': 'likewise, and the answer has none of its words',
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
    """Asks a segmenter, which reuses answers, about frames of colored squares.

    Args:
        segmenter: with `speculative_decoding` and `max_cached_frames`.
        size_wh: of the frames, pixels.
        cameras: take turns. An answer is then one about each camera's frame; with more than one, nothing is asked
            twice about a frame, for the segmenter keeps the last one alone.
        compare_naive: also answer the straightforward way.
        phrase: what is asked for.
    """

    def __init__(
        self,
        segmenter: InstructSAMSegmenter,
        size_wh: tuple[int, int],
        *,
        cameras: int = 1,
        compare_naive: bool,
        phrase: str = PHRASE,
    ) -> None:
        self._segmenter = segmenter
        self._cameras = [f'camera {number}' for number in range(cameras)]
        self._size_wh = size_wh
        self._generator = np.random.default_rng(0)
        self._naive = NaivePipeline(segmenter) if compare_naive else None
        self._phrase = phrase
        self._asked = 0

    def new_frame(self, camera: str = '') -> Frame:
        """A frame that nobody has seen."""
        width, height = self._size_wh
        cells = self._generator.integers(32, 224, (height // CELL + 1, width // CELL + 1, 3), dtype=np.uint8)
        image_rgb = np.ascontiguousarray(cells.repeat(CELL, 0).repeat(CELL, 1)[:height, :width])
        return Frame(image_rgb, frame_id=camera)

    def with_noise(self, frame: Frame) -> Frame:
        """What a camera that sees the same thing again delivers."""
        noise = self._generator.integers(-8, 9, frame.image_rgb.shape, dtype=np.int8)
        return replace(frame, image_rgb=(frame.image_rgb + noise).astype(np.uint8))

    def new_instruction(self) -> Instruction:
        """One that nobody has given, of always the same length, worded as the published training asks for a phrase."""
        self._asked += 1
        return Instruction(f"Number {10_000 + self._asked}: please segment '{self._phrase}'.")

    def reworded_instruction(self) -> Instruction:
        """Likewise, without a word of the answer."""
        self._asked += 1
        return Instruction(f'Number {10_000 + self._asked}: which part shows what I am looking for?')

    def asks(self) -> Iterator[tuple[str, Callable[[], Sequence[Segmentation]]]]:
        """One round: each scenario and what answers it, ours with the answers; they follow on each other."""
        first, second = self.new_instruction(), self.new_instruction()
        frames = [self.new_frame(camera) for camera in self._cameras]
        yield 'cold', lambda: self._answer(frames, first)
        if len(frames) == 1:
            yield 'same both', lambda: self._answer(frames, first)
            yield 'same frame', lambda: self._answer(frames, second)
            reworded = self.reworded_instruction()
            yield 'reworded', lambda: self._answer(frames, reworded)
        else:
            self._answer(frames, second)
        later = [self.new_frame(camera) for camera in self._cameras]
        yield 'warm', lambda: self._answer(later, second)
        noisy = [self.with_noise(frame) for frame in later]
        yield 'steady', lambda: self._answer(noisy, second)
        if self._naive is not None:
            naive, strange = self._naive, [self.new_frame(camera) for camera in self._cameras]

            def answer_naively() -> list[Segmentation]:
                for frame in strange:
                    naive.answer(frame, first)
                return []

            yield NAIVE, answer_naively

    def _answer(self, frames: Sequence[Frame], instruction: Instruction) -> list[Segmentation]:
        """The answers about a frame of each camera."""
        return [self._segmenter.segment(frame, instruction) for frame in frames]

    def run(self, repeats: int, on_round: Callable[[], object] = lambda: None) -> dict[str, Timing]:
        """Time so many rounds, the scenarios in turn so that what slows the machine slows all of them."""
        timings: dict[str, Timing] = {}
        device = self._segmenter.network.device
        for number in range(WARM_UP + repeats):
            for name, ask in self.asks():
                synchronize(device)
                start = time.perf_counter()
                ask()
                synchronize(device)
                if number >= WARM_UP:
                    timings.setdefault(name, Timing()).seconds.append(time.perf_counter() - start)
            on_round()
        for name, ask in self.asks():
            with watched(self._segmenter) as seconds:
                start = time.perf_counter()
                ask()
                total = time.perf_counter() - start
            seconds['rest'] = total - sum(seconds.values())
            timings[name].stages = {stage: seconds.get(stage, 0.0) for stage in STAGES}
        for name, ask in self.asks():
            with count_arithmetic() as counter:
                ask()
            timings[name].tflop = counter.get_total_flops() / 1e12
        return timings
