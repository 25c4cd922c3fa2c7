"""Weights are read one tensor at a time, without a second copy of the network in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from instructsam_model.instructsam.checkpoint import (
    build_empty,
    place_tensors,
    read_model_config,
    read_network,
    write_checkpoint,
)
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.weights.tensor_files import find_tensors
from tests.support.live_bytes import LiveBytes
from tests.support.real_tensors import read_tensors_really

CPU = torch.device('cpu')


@pytest.fixture
def shards(segmenter: InstructSAMSegmenter, tmp_path: Path) -> Path:
    """The golden checkpoint, float32, in files of 0.4 MB."""
    write_checkpoint(tmp_path / 'shards', segmenter.network, segmenter.preprocessor, max_shard_bytes=400_000)
    return tmp_path / 'shards'


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_gpu_holds_only_the_weights_while_loading(
    shards: Path, dtype: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_empty(read_model_config(shards, shards / 'sam3'))
    size = sum(parameter.numel() for parameter in network.parameters()) * (4 if dtype is None else 2)
    found = find_tensors(shards)
    read_tensors_really(monkeypatch)
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes('cuda') as live:
        place_tensors(network, found, device=torch.device('cuda'), dtype=dtype)
    assert network.device.type == 'cuda'
    assert live.peak == live.now == size


def test_main_memory_holds_only_the_weights_and_one_file_while_loading(shards: Path) -> None:
    largest_file = max(file.stat().st_size for file in shards.glob('*.safetensors'))
    with LiveBytes('cpu') as live:
        network = read_network(shards, shards / 'sam3', device=CPU, dtype=torch.bfloat16)
    size = sum(parameter.numel() for parameter in network.parameters()) * 2
    assert len(list(shards.glob('*.safetensors'))) > 5
    assert size < live.peak < size + 1.5 * largest_file
