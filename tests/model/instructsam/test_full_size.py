"""The 2B network with random bf16 weights on a 720p image: memory and run time.

    pytest -m slow tests/model/instructsam/test_full_size.py -s

prints one line of JSON with seconds and peak memory.
"""

from __future__ import annotations

import json
import resource
import time

import numpy as np
import pytest
import torch

from instructsam_model import Frame, Instruction
from tests.support.full_size import full_size_segmenter


def run(device: str) -> dict[str, float]:
    """Seconds for loading, a first instruction and a second one on the same frame; phrase of six tokens, K = 10."""
    start = time.perf_counter()
    segmenter = full_size_segmenter(device, torch.bfloat16)
    seconds = {'fill_weights': time.perf_counter() - start}
    frame = Frame(np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8))
    for name in ('new_frame', 'same_frame'):
        start = time.perf_counter()
        segmentation = segmenter.segment(frame, Instruction('Segment the red box.'))
        seconds[name] = time.perf_counter() - start
        assert len(segmentation.instances) == 10
        assert segmentation.raw_text == (
            '<|object_ref_start|>the red box left of the<|object_ref_end|><|mask_start|>[SEG]<|mask_end|><|im_end|>'
        )
    prediction = segmenter.predict(frame, Instruction('Segment the red box.'))
    assert prediction.mask_logits.shape == (1, 10, 288, 288)
    assert prediction.mask_logits.isfinite().all()
    return seconds


@pytest.mark.slow
def test_720p_on_the_cpu() -> None:
    seconds = run('cpu')
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({'device': 'cpu', 'seconds': seconds, 'peak_gib': peak_gib}))
    assert peak_gib < 12


@pytest.mark.gpu
def test_720p_on_a_gpu() -> None:
    torch.cuda.reset_peak_memory_stats()
    seconds = run('cuda')
    peak_gib = torch.cuda.max_memory_allocated() / 2**30
    print(json.dumps({'device': torch.cuda.get_device_name(), 'seconds': seconds, 'peak_gib': peak_gib}))
    assert peak_gib < 12
