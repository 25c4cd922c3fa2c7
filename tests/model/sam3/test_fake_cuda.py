"""The back end `sam3` on fake CUDA tensors: where the host waits, and what a request launches."""

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
from tests.support.tiny_sam3 import load_tiny_sam3, write_tiny_sam3

RESULTS = ('copy D2H', 'instructsam_model/sam3/postprocess.py')
ALL = Selection(min_score=0.0)


@pytest.fixture(scope='module')
def cuda() -> Iterator[FakeCuda]:
    with FakeCuda(plausible_values) as cuda:
        yield cuda


@pytest.fixture(scope='module')
def segmenter(cuda: FakeCuda, tmp_path_factory: pytest.TempPathFactory) -> Sam3Segmenter:
    folder = write_tiny_sam3(tmp_path_factory.mktemp('tiny'))
    segmenter = load_tiny_sam3(folder, device='cuda', dtype='auto', geometry_cls_token='on')
    segmenter.warm_up((64, 48))  # the image processor uploads its mean and standard deviation once
    return segmenter


def record(cuda: FakeCuda, segmenter: Sam3Segmenter, frame: Frame, text: str) -> Recording:
    with cuda.recording() as recording:
        segmenter.segment(frame, Instruction(text), ALL)
    return recording


def new_frame(seed: int = 0) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8))


def count_waits(recording: Recording) -> Counter[tuple[str, str]]:
    return Counter((op.name, op.where.rpartition(' < ')[2].rpartition(':')[0]) for op in recording.host_waits)


def test_host_waits_for_scores_and_masks_only(cuda: FakeCuda, segmenter: Sam3Segmenter) -> None:
    recording = record(cuda, segmenter, new_frame(), 'red mug, plate')
    assert count_waits(recording) == {RESULTS: 2}, '\n'.join(map(str, recording.host_waits))


def test_duplicates_are_dropped_without_a_wait(cuda: FakeCuda, segmenter: Sam3Segmenter) -> None:
    other = Sam3Segmenter(segmenter.detector, max_mask_iou=0.5)
    assert count_waits(record(cuda, other, new_frame(), 'red mug, plate')) == {RESULTS: 2}


def test_without_instances_the_host_waits_for_the_scores_only(cuda: FakeCuda, segmenter: Sam3Segmenter) -> None:
    with cuda.recording() as recording:
        segmenter.segment(new_frame(), Instruction('red mug'), Selection(min_score=1.0))
    assert count_waits(recording) == {RESULTS: 1}


def test_known_frame_and_known_phrase_launch_the_detector_only(cuda: FakeCuda, segmenter: Sam3Segmenter) -> None:
    frame = new_frame(1)
    stages = record(cuda, segmenter, frame, 'blue').by_stage()
    assert {'preprocess', 'sam3 vision', 'text', 'sam3 decode', 'postprocess'} <= set(stages)
    again = record(cuda, segmenter, frame, 'blue').by_stage()
    assert {name for name, part in again.items() if part.kernels} == {'sam3 decode', 'postprocess'}


def test_boxes_stay_in_float32_beside_bfloat16(segmenter: Sam3Segmenter) -> None:
    decoder = segmenter.detector.detector.model.detr_decoder
    assert decoder.reference_points.weight.dtype == decoder.box_head.layer1.weight.dtype == torch.float32
    assert decoder.query_embed.weight.dtype == decoder.presence_token.weight.dtype == torch.bfloat16
