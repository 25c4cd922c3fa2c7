"""The back end `sam3i` on fake CUDA tensors: where the host waits, and what a request launches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from instructsam_model import Frame, Instruction, Selection
from instructsam_model.bench.instructsam.fake_engines import plausible_values
from instructsam_model.fake_cuda import FakeCuda, Recording
from instructsam_model.sam3.segmenter import Sam3Segmenter
from tests.support.tiny_sam3i import load_tiny_sam3i, write_tiny_sam3i

RESULTS = ('copy D2H', 'instructsam_model/sam3/postprocess.py')
ALL = Selection(min_score=0.0)
INSTRUCTIONS = {'concept': 'red mug', 'simple': 'the mug on the plate', 'complex': 'something to drink from'}
STAGES = ('text', 'sam3 decode', 'postprocess')
MAX_KERNELS = {'concept': 352, 'simple': 389, 'complex': 427}
"""Kernels of text encoder and detector of the tiny network, for a new text."""


@pytest.fixture(scope='module')
def cuda() -> Iterator[FakeCuda]:
    with FakeCuda(plausible_values) as cuda:
        yield cuda


@pytest.fixture(scope='module')
def segmenter(cuda: FakeCuda, tmp_path_factory: pytest.TempPathFactory) -> Sam3Segmenter:
    folder = write_tiny_sam3i(tmp_path_factory.mktemp('tiny') / 'delta')
    segmenter = load_tiny_sam3i(folder, device='cuda', dtype='auto', level='auto')
    segmenter.warm_up((64, 48))  # the image processor uploads its mean and standard deviation once
    return segmenter


def record(cuda: FakeCuda, segmenter: Sam3Segmenter, frame: Frame, text: str) -> Recording:
    with cuda.recording() as recording:
        segmenter.segment(frame, Instruction(text), ALL)
    return recording


def new_frame(seed: int = 0) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8))


def test_host_waits_for_scores_and_masks_only(cuda: FakeCuda, segmenter: Sam3Segmenter) -> None:
    """At every level; a further level of the same frame encodes the text alone."""
    frame = new_frame()
    for number, (level, text) in enumerate(INSTRUCTIONS.items()):
        recording = record(cuda, segmenter, frame, text)
        waits = Counter((op.name, op.where.rpartition(' < ')[2].rpartition(':')[0]) for op in recording.host_waits)
        assert waits == {RESULTS: 2}, '\n'.join(map(str, recording.host_waits))
        kernels = {name: part.kernels for name, part in recording.by_stage().items() if part.kernels}
        assert set(kernels) == {*(('preprocess', 'sam3 vision') if not number else ()), *STAGES}
        assert kernels['text'] + kernels['sam3 decode'] <= MAX_KERNELS[level]
    again = record(cuda, segmenter, frame, INSTRUCTIONS['complex']).by_stage()
    assert {name for name, part in again.items() if part.kernels} == {'sam3 decode', 'postprocess'}


def test_adapters_are_in_half_precision_beside_boxes_in_float32(segmenter: Sam3Segmenter) -> None:
    network = segmenter.detector.network
    assert {parameter.dtype for parameter in network.adapters.parameters()} == {torch.bfloat16}
    assert network.detector.model.detr_decoder.box_head.layer1.weight.dtype == torch.float32
