"""The GPU path without a GPU: the real segmenter on fake CUDA tensors.

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
from instructsam_model.bench.modeled import FakeEngines, plausible
from instructsam_model.bench.naive import NaivePipeline
from instructsam_model.bench.scenarios import Bench
from instructsam_model.fake_cuda import CUDA, FakeCuda, Recording
from instructsam_model.instructsam.engine.static import PHRASE_SIZES, TEXT_SIZES
from instructsam_model.instructsam.inference_mode import INFERENCE_MODES, get_inference_mode
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.instructsam.random_weights import random_segmenter, scripted_phrases
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.weights import bundled

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
"""What the host waits for in an answer: the tokens of each pass of the language model, and what the user gets."""
KERNELS = {'cold': 725, 'same both': 395, 'same frame': 530, 'reworded': 1465, 'warm': 725, 'steady': 510}
"""Budget of kernels of an answer, captured graphs included: what the embedded network takes, and a percent."""
LAUNCHES = 80
"""Budget of launches of an answer outside of captured graphs, a graph counted as one; 150 at full size."""


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
        bundled.FOLDER,
        bundled.FOLDER,
        device=CUDA,
        dtype=dtype,
        phrases=phrases,
        make_engine=engines.open,
        options=InstructSAMOptions(speculative_decoding=True, max_cached_frames=1000),
    )
    return Opened(cuda, engines, segmenter)


@pytest.fixture(scope='module')
def cuda() -> Iterator[FakeCuda]:
    with FakeCuda(plausible) as cuda:
        yield cuda


@pytest.fixture(scope='module')
def opened(cuda: FakeCuda) -> Opened:
    return open_segmenter(cuda)


@pytest.fixture(scope='module')
def answers(opened: Opened) -> dict[str, Recording]:
    """One answer of each scenario, after a round that captures."""
    phrase = scripted_phrases(opened.segmenter.preprocessor, 6)
    bench = Bench(opened.segmenter, SIZE_WH, compare_naive=False, phrase=phrase)
    recordings = {}
    for _ in range(2):
        for name, ask in bench.asks():
            with opened.cuda.recording() as recordings[name]:
                ask()
    return recordings


def new_frame(size_wh: tuple[int, int] = SIZE_WH, seed: int = 0) -> Frame:
    pixels = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    return Frame(pixels)


def count_waits(recording: Recording) -> Counter[tuple[str, str]]:
    """The name of what is waited for, and the file that asks for it."""
    return Counter((op.name, op.where.rpartition(' < ')[2].rpartition(':')[0]) for op in recording.host_waits)


def said(parts: Sequence[object]) -> str:
    return '\n'.join(map(str, parts))


@pytest.mark.parametrize('scenario', WAITS)
def test_host_waits_for_tokens_and_for_masks_and_for_nothing_else(answers: dict[str, Recording], scenario: str) -> None:
    recording = answers[scenario]
    assert count_waits(recording) == WAITS[scenario], said(recording.host_waits)


@pytest.mark.parametrize('scenario', KERNELS)
def test_kernels_of_an_answer_stay_within_the_budget(answers: dict[str, Recording], scenario: str) -> None:
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


def test_a_camera_size_seen_before_captures_nothing(opened: Opened) -> None:
    sizes = (SIZE_WH, (160, 120), (240, 320))
    for number, size_wh in enumerate(sizes):
        opened.segment(new_frame(size_wh, seed=number), 'red')
    before = opened.graphs()
    for number, size_wh in enumerate(sizes):
        opened.segment(new_frame(size_wh, seed=10 + number), 'blue')
    later = opened.graphs()[len(before) :]
    assert not later, said(later)


def test_warm_up_captures_what_the_first_frame_needs(cuda: FakeCuda) -> None:
    opened = open_segmenter(cuda)
    with torch.inference_mode():
        opened.segmenter.warm_up(SIZE_WH)
    before = opened.graphs()
    opened.segment(new_frame(), 'Segment the red box.')
    later = opened.graphs()[len(before) :]
    assert not later, said(later)


@pytest.mark.parametrize('phrases', [*PHRASE_SIZES[1:], 3])
def test_phrases_of_an_answer_take_one_pass_of_the_detector(cuda: FakeCuda, phrases: int) -> None:
    opened = open_segmenter(cuda, phrases=phrases)
    opened.segment(new_frame(), 'red')
    recording = opened.segment(new_frame(seed=1), 'red')
    assert count_waits(recording) == {READ: 1, CHOSEN: 1}, said(recording.host_waits)
    decoded = recording.by_stage()['sam3 decode']
    assert sum(op.kind == 'replay' for op in decoded.ops) == 1
    assert decoded.kernels <= KERNELS['same both']


def test_launched_kernel_by_kernel_it_answers_too(cuda: FakeCuda) -> None:
    recording = open_segmenter(cuda, engine='eager', dtype=torch.float16).segment(new_frame(), 'Segment the red box.')
    assert recording.launches == recording.kernels + len(recording.host_waits)


@pytest.mark.parametrize('protocol', INFERENCE_MODES)
def test_every_protocol_answers(opened: Opened, protocol: str) -> None:
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


def test_straightforward_pipeline_answers(opened: Opened) -> None:
    with opened.cuda.recording() as recording:
        masks, scores = NaivePipeline(opened.segmenter).answer(new_frame(), Instruction('Segment the red box.'))
    assert masks.shape == (10, *reversed(SIZE_WH))
    assert len(scores) == 10
    assert recording.kernels > KERNELS['cold']


@pytest.mark.filterwarnings('ignore:torch.compile with fullgraph=True found no compiled frames')
def test_the_engine_that_a_gpu_gets_by_itself_captures_too(cuda: FakeCuda) -> None:
    segmenter = random_segmenter(bundled.FOLDER, bundled.FOLDER, device=CUDA, dtype=torch.bfloat16)
    segmenter.segment(new_frame(), Instruction('red'))
    with cuda.recording() as recording:
        segmenter.segment(new_frame(seed=1), Instruction('red'))
    assert count_waits(recording) == WAITS['warm'], said(recording.host_waits)
    assert recording.launches <= LAUNCHES


def test_nothing_falls_back(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        opened.segment(new_frame(seed=5), 'Segment the red box.')
    assert not caplog.records
