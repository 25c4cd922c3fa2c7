"""The GPU code path without a GPU: the real segmenter on fake CUDA tensors.

On the commit before static engines (d267f26) the first answer fails: `image_grid_thw` stays on the CPU, and with it the
indices into Qwen's position table. `MixedDevicesError: embedding at
transformers/models/qwen3_vl/modeling_qwen3_vl.py:690 < instructsam_model/network.py:223: expected all tensors on one
device, got [1024, 128] on cuda:0, [520, 4] on cpu`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from instructsam_model import Frame, Instruction
from instructsam_model.bench.instructsam.fake_engines import FakeEngines, plausible_values
from instructsam_model.bench.instructsam.naive import NaivePipeline
from instructsam_model.bench.scenarios import Bench
from instructsam_model.fake_cuda import CUDA, FakeCuda, Recording
from instructsam_model.instructsam.engine.static import PHRASE_SIZES, TEXT_SIZES
from instructsam_model.instructsam.inference_mode import INFERENCE_MODES, get_inference_mode
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.instructsam.random_weights import random_segmenter, scripted_phrases
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.weights import embedded

SIZE_WH = (320, 240)
READ, CHOSEN = (
    ('copy D2H', 'instructsam_model/instructsam/engine/static.py'),
    ('copy D2H', 'instructsam_model/instructsam/postprocess.py'),
)
WAITS = {
    'cold': {READ: 1, CHOSEN: 1},
    'same both': {CHOSEN: 1},
    'same frame': {READ: 1, CHOSEN: 1},
    'reworded': {READ: 8, CHOSEN: 1},  # a pass for each token that the instruction does not foretell
    'warm': {READ: 1, CHOSEN: 1},
    'steady': {CHOSEN: 1},
}
"""Host waits of an inference: the tokens of each pass of the language model, and the result."""
KERNELS = {'cold': 733, 'same both': 399, 'same frame': 537, 'reworded': 1491, 'warm': 733, 'steady': 515}
"""Budget of kernels per scenario, captured graphs included: those of the embedded network plus one percent."""
LAUNCHES = 80
"""Budget of launches per scenario; a captured graph counts once. 150 at full size."""


@dataclass(frozen=True)
class Opened:
    """A segmenter on fake CUDA."""

    cuda: FakeCuda
    engines: FakeEngines
    segmenter: InstructSAMSegmenter

    def segment(self, frame: Frame, text: str) -> Recording:
        with self.cuda.recording() as recording:
            self.segmenter.segment(frame, Instruction(text))
        return recording

    def graphs(self) -> list[str]:
        return [str(graph) for graph in self.engines.graphs.captured]


def open_segmenter(
    cuda: FakeCuda, *, engine: str = 'compiled', dtype: torch.dtype = torch.bfloat16, phrases: int = 1
) -> Opened:
    engines = FakeEngines(cuda, engine)
    segmenter = random_segmenter(
        embedded.FOLDER,
        embedded.FOLDER,
        device=CUDA,
        dtype=dtype,
        phrases=phrases,
        make_engine=engines.make,
        options=InstructSAMOptions(speculative_decoding=True, max_cached_frames=1000),
    )
    return Opened(cuda, engines, segmenter)


@pytest.fixture(scope='module')
def cuda() -> Iterator[FakeCuda]:
    with FakeCuda(plausible_values) as cuda:
        yield cuda


@pytest.fixture(scope='module')
def opened(cuda: FakeCuda) -> Opened:
    return open_segmenter(cuda)


@pytest.fixture(scope='module')
def answers(opened: Opened) -> dict[str, Recording]:
    """One recording of each scenario, after a round of warm-up."""
    phrase = scripted_phrases(opened.segmenter.preprocessor, 6)
    bench = Bench(opened.segmenter, CUDA, SIZE_WH, phrase=phrase)
    recordings = {}
    for _ in range(2):
        for name, run in bench.requests():
            with opened.cuda.recording() as recordings[name]:
                run()
    return recordings


def new_frame(size_wh: tuple[int, int] = SIZE_WH, seed: int = 0) -> Frame:
    pixels = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    return Frame(pixels)


def count_waits(recording: Recording) -> Counter[tuple[str, str]]:
    """Return the name of each operation that waits, and the file that calls it."""
    return Counter((op.name, op.where.rpartition(' < ')[2].rpartition(':')[0]) for op in recording.host_waits)


def said(parts: Sequence[object]) -> str:
    return '\n'.join(map(str, parts))


@pytest.mark.parametrize('scenario', WAITS)
def test_host_waits_for_tokens_and_masks_only(answers: dict[str, Recording], scenario: str) -> None:
    recording = answers[scenario]
    assert count_waits(recording) == WAITS[scenario], said(recording.host_waits)


@pytest.mark.parametrize('scenario', KERNELS)
def test_number_of_kernels_is_within_the_budget(answers: dict[str, Recording], scenario: str) -> None:
    stages = {name: part.kernels for name, part in answers[scenario].by_stage().items()}
    assert answers[scenario].kernels <= KERNELS[scenario], stages
    assert answers[scenario].launches <= LAUNCHES, stages


def test_every_pass_is_captured(answers: dict[str, Recording], opened: Opened) -> None:
    names = {graph.name.split()[0] + ' ' + graph.name.split()[1] for graph in opened.engines.graphs.captured}
    assert {'sam3 encoder', 'qwen encoder', 'sam3 decoder'} <= names, said(opened.graphs())
    stages = answers['cold'].by_stage()
    for stage in ('sam3 vision', 'qwen vision', 'prefill', 'sam3 decode'):
        assert any(op.kind == 'replay' for op in stages[stage].ops), stage


def test_shapes_of_captured_passes_do_not_depend_on_the_instruction(opened: Opened) -> None:
    frame = new_frame()
    opened.segment(frame, 'red')
    for words in (10, 28, 60):
        opened.segment(frame, ' '.join(['red'] * words))
    before = opened.graphs()
    for words in range(1, 61, 3):
        opened.segment(frame, f'{words} ' + ' '.join(['blue'] * (words - 1)))
    later = opened.graphs()[len(before) :]
    assert not later, said(later)
    lengths = {graph.inputs[0].shape[1] for graph in opened.engines.graphs.captured if graph.name.startswith('text')}
    assert lengths <= set(TEXT_SIZES), said(before)


def test_known_image_size_needs_no_capture(opened: Opened) -> None:
    sizes = (SIZE_WH, (160, 120), (240, 320))
    for number, size_wh in enumerate(sizes):
        opened.segment(new_frame(size_wh, seed=number), 'red')
    before = opened.graphs()
    for number, size_wh in enumerate(sizes):
        opened.segment(new_frame(size_wh, seed=10 + number), 'blue')
    later = opened.graphs()[len(before) :]
    assert not later, said(later)


def test_warm_up_captures_the_passes_of_the_first_frame(cuda: FakeCuda) -> None:
    opened = open_segmenter(cuda)
    with torch.inference_mode():
        opened.segmenter.warm_up(SIZE_WH)
    before = opened.graphs()
    opened.segment(new_frame(), 'Segment the red box.')
    later = opened.graphs()[len(before) :]
    assert not later, said(later)


@pytest.mark.parametrize('phrases', [*PHRASE_SIZES[1:], 3])
def test_all_phrases_take_one_pass_of_the_detector(cuda: FakeCuda, phrases: int) -> None:
    opened = open_segmenter(cuda, phrases=phrases)
    opened.segment(new_frame(), 'red')
    recording = opened.segment(new_frame(seed=1), 'red')
    assert count_waits(recording) == {READ: 1, CHOSEN: 1}, said(recording.host_waits)
    decoded = recording.by_stage()['sam3 decode']
    assert sum(op.kind == 'replay' for op in decoded.ops) == 1
    assert decoded.kernels <= KERNELS['same both']


def test_eager_engine_runs(cuda: FakeCuda) -> None:
    recording = open_segmenter(cuda, engine='eager', dtype=torch.float16).segment(new_frame(), 'Segment the red box.')
    assert recording.launches == recording.kernels + len(recording.host_waits)


@pytest.mark.parametrize('protocol', INFERENCE_MODES)
def test_every_inference_mode_runs(opened: Opened, protocol: str) -> None:
    segmenter = InstructSAMSegmenter(
        opened.segmenter.network, opened.segmenter.preprocessor, engine=opened.segmenter.engine, inference_mode=protocol
    )
    assert segmenter.inference_mode == get_inference_mode(protocol)
    other = Opened(opened.cuda, opened.engines, segmenter)
    other.segment(new_frame(seed=3), 'red')
    frame = new_frame(seed=4)
    for text in ('Segment the red box.', 'Which one is blue?'):  # several instructions about one frame
        recording = other.segment(frame, text)
        assert set(count_waits(recording)) <= {READ, CHOSEN}, said(recording.host_waits)


def test_duplicates_are_dropped_without_a_wait(opened: Opened) -> None:
    loaded = opened.segmenter
    segmenter = InstructSAMSegmenter(loaded.network, loaded.preprocessor, engine=loaded.engine, max_mask_iou=0.5)
    other = Opened(opened.cuda, opened.engines, segmenter)
    other.segment(new_frame(seed=5), 'red')
    recording = other.segment(new_frame(seed=6), 'red')
    assert set(count_waits(recording)) <= {READ, CHOSEN}, said(recording.host_waits)
    assert count_waits(recording)[CHOSEN] == 1


def test_naive_pipeline_runs(opened: Opened) -> None:
    with opened.cuda.recording() as recording:
        masks, scores = NaivePipeline(opened.segmenter).segment(new_frame(), Instruction('Segment the red box.'))
    assert masks.shape == (10, *reversed(SIZE_WH))
    assert len(scores) == 10
    assert recording.kernels > KERNELS['cold']


@pytest.mark.filterwarnings('ignore:torch.compile with fullgraph=True found no compiled frames')
def test_default_engine_of_a_gpu_captures(cuda: FakeCuda) -> None:
    segmenter = random_segmenter(
        embedded.FOLDER, embedded.FOLDER, device=CUDA, dtype=torch.bfloat16, options=InstructSAMOptions()
    )
    segmenter.segment(new_frame(), Instruction('red'))
    with cuda.recording() as recording:
        segmenter.segment(new_frame(seed=1), Instruction('red'))
    assert count_waits(recording) == WAITS['warm'], said(recording.host_waits)
    assert recording.launches <= LAUNCHES


def test_no_pass_falls_back_to_eager(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        opened.segment(new_frame(seed=5), 'Segment the red box.')
    assert not caplog.records
