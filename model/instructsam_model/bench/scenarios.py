"""Latency of a segmenter in the scenarios of a robot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from instructsam_model.bench.roofline import count_arithmetic
from instructsam_model.bench.stages import STAGES, measure_stages
from instructsam_model.datatypes import Frame, Instruction, Segmentation, Segmenter
from instructsam_model.runtime.device import synchronize

SCENARIOS = {
    'cold': 'new frame, new instruction',
    'warm': 'new frame, same instruction as for the previous frame',
    'steady': 'as warm, and the scene is unchanged',
    'same frame': 'same frame, new instruction',
    'reworded': 'as same frame, without words of the generated text (no prompt-lookup match)',
    'same both': 'same frame, same instruction',
}
NAIVE = 'naive'
NAIVE_DESCRIPTION = 'no caching'
DEFAULT_PHRASE = 'the red box left of the green ball'
CELL_PX = 32
"""Side of the colored squares of synthetic frames."""
WARM_UP_ROUNDS = 2


@dataclass
class Timing:
    """Measurements of one scenario.

    Attributes:
        seconds: latency of each run.
        stages: seconds by stage, from a separate run.
        tflop: arithmetic of one run.
    """

    seconds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    tflop: float = 0.0

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies, seconds."""
        return float(np.percentile(self.seconds, percent))


class Bench:
    """Runs a segmenter of any back end on synthetic frames of colored squares.

    Args:
        segmenter: with all its caching enabled.
        device: of the segmenter.
        size_wh: size of the frames, pixels.
        cameras: number of cameras that take turns; one run then is one request per camera. With several cameras, the
            scenarios about the same frame are omitted, because a segmenter keeps only the last frame.
        naive: handles a request without any caching, for comparison; None for no comparison.
        phrase: the phrase to ask for.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        device: torch.device,
        size_wh: tuple[int, int],
        *,
        cameras: int = 1,
        naive: Callable[[Frame, Instruction], object] | None = None,
        phrase: str = DEFAULT_PHRASE,
    ) -> None:
        self._segmenter = segmenter
        self._device = device
        self._cameras = [f'camera {number}' for number in range(cameras)]
        self._size_wh = size_wh
        self._generator = np.random.default_rng(0)
        self._naive = naive
        self._phrase = phrase
        self._num_instructions = 0

    def new_frame(self, camera: str = '') -> Frame:
        """Make a new random frame."""
        width, height = self._size_wh
        # Values 32 to 223, so that camera noise does not overflow.
        cells = self._generator.integers(32, 224, (height // CELL_PX + 1, width // CELL_PX + 1, 3), dtype=np.uint8)
        image_rgb = np.ascontiguousarray(cells.repeat(CELL_PX, 0).repeat(CELL_PX, 1)[:height, :width])
        return Frame(image_rgb, frame_id=camera)

    def with_noise(self, frame: Frame) -> Frame:
        """Make the next frame of an unchanged scene: the same image with camera noise."""
        noise = self._generator.integers(-8, 9, frame.image_rgb.shape, dtype=np.int8)
        return replace(frame, image_rgb=(frame.image_rgb + noise).astype(np.uint8))

    def new_instruction(self) -> Instruction:
        """Make a new instruction, always of the same length, in the words of the published training data."""
        # Numbers of five digits, so that the length in tokens does not change.
        self._num_instructions += 1
        return Instruction(f"Number {10_000 + self._num_instructions}: please segment '{self._phrase}'.")

    def reworded_instruction(self) -> Instruction:
        """Make a new instruction that contains no word of the answer."""
        self._num_instructions += 1
        return Instruction(f'Number {10_000 + self._num_instructions}: which part shows what I am looking for?')

    def requests(self) -> Iterator[tuple[str, Callable[[], Sequence[Segmentation]]]]:
        """Yield one round of scenarios, each as its name and a function to call before the next is taken.

        The function returns the segmentations; for the naive pipeline it returns none.
        """
        first, second = self.new_instruction(), self.new_instruction()
        frames = [self.new_frame(camera) for camera in self._cameras]
        yield 'cold', lambda: self._segment(frames, first)
        if len(frames) == 1:
            yield 'same both', lambda: self._segment(frames, first)
            yield 'same frame', lambda: self._segment(frames, second)
            reworded = self.reworded_instruction()
            yield 'reworded', lambda: self._segment(frames, reworded)
        else:
            self._segment(frames, second)
        # The instruction `second` is known to the caches from here on.
        later = [self.new_frame(camera) for camera in self._cameras]
        yield 'warm', lambda: self._segment(later, second)
        noisy = [self.with_noise(frame) for frame in later]
        yield 'steady', lambda: self._segment(noisy, second)
        if self._naive is not None:
            naive, unknown = self._naive, [self.new_frame(camera) for camera in self._cameras]

            def segment_naively() -> list[Segmentation]:
                for frame in unknown:
                    naive(frame, first)
                return []

            yield NAIVE, segment_naively

    def _segment(self, frames: Sequence[Frame], instruction: Instruction) -> list[Segmentation]:
        """Segment one frame of each camera."""
        return [self._segmenter.segment(frame, instruction) for frame in frames]

    def run(self, repeats: int, on_round: Callable[[], object] = lambda: None) -> dict[str, Timing]:
        """Measure all scenarios in alternation, so that other load on the machine affects them equally.

        Args:
            repeats: number of measured rounds.
            on_round: called after each round.
        """
        # 1. Latencies.
        timings: dict[str, Timing] = {}
        for number in range(WARM_UP_ROUNDS + repeats):
            for name, run in self.requests():
                synchronize(self._device)
                start = time.perf_counter()
                run()
                synchronize(self._device)
                if number >= WARM_UP_ROUNDS:
                    timings.setdefault(name, Timing()).seconds.append(time.perf_counter() - start)
            on_round()
        # 2. Stages, in a round of its own, because a GPU waits after each stage.
        for name, run in self.requests():
            with measure_stages(self._device) as seconds:
                start = time.perf_counter()
                run()
                total = time.perf_counter() - start
            seconds['rest'] = total - sum(seconds.values())
            timings[name].stages = {stage: seconds.get(stage, 0.0) for stage in STAGES}
        # 3. Arithmetic, in a round of its own, because counting is slow.
        for name, run in self.requests():
            with count_arithmetic() as counter:
                run()
            timings[name].tflop = counter.get_total_flops() / 1e12
        return timings


def describe_scenario(name: str) -> str:
    """Return the name of a scenario with its description."""
    return f'{name}: {SCENARIOS.get(name, NAIVE_DESCRIPTION)}'
