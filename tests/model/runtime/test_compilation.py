"""Each forward pass compiles as one graph; a layer that cannot be compiled runs uncompiled, with a warning."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from instructsam_model import Frame
from instructsam_model.instructsam.engine.qwen_encoder import QwenEncoder
from instructsam_model.instructsam.engine.text_model import ImageTokens, KeyValueCache, TextModel
from instructsam_model.instructsam.engine.tokens import Tokens
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.compilation import InductorCompiler, run_eagerly
from instructsam_model.sam3.static_encoder import Sam3Encoder

CPU = torch.device('cpu')


def compare(run: Callable[..., Any], *inputs: Any) -> None:
    """Compile a pass as one graph and compare its outputs with those of the uncompiled pass."""
    torch._dynamo.reset()
    expected = run(*inputs)
    compiled = torch.compile(run, fullgraph=True, backend='eager')(*inputs)
    torch.testing.assert_close(compiled, expected)


@pytest.fixture
def own(own_segmenter: InstructSAMSegmenter) -> InstructSAMSegmenter:
    """A segmenter of this test alone: its weights are packed in place."""
    return own_segmenter


def tokens(network: Any, start: int, count: int) -> Tokens:
    """Make text tokens with one block of queries among them."""
    made = Tokens()
    special, queries = network.config.tokens, network.config.num_queries
    for number in range(count):
        row = number - 2
        is_query = 0 <= row < queries
        bank = {'bank_row': row, 'end': start + 2 + queries} if is_query else {}
        made.add(special.query if is_query else number, start + number, start + number, **bank)
    return made


@torch.inference_mode()
def test_encoders_compile_as_one_graph(own: InstructSAMSegmenter, frames: list[Frame]) -> None:
    pixels = own.preprocessor.pixels(frames[0], CPU)
    sam3 = Sam3Encoder(own.network.model.grounding_model, run_eagerly)
    compare(lambda values: sam3(values).maps, pixels.sam3)
    qwen = QwenEncoder(own.network.model.visual, run_eagerly)
    compare(qwen, pixels.qwen, qwen.grid(pixels.grid_thw, torch.float32))


@torch.inference_mode()
def test_the_language_model_compiles_as_one_graph(own: InstructSAMSegmenter) -> None:
    network = own.network
    text = TextModel(network, run_eagerly)
    cache = KeyValueCache.empty(network, 128)
    width = network.config.qwen.text_config.hidden_size
    levels = len(network.config.qwen.vision_config.deepstack_visual_indexes)
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(40, width, generator=generator)
    image = ImageTokens(embeds, [torch.ones(20, width)] * levels, 4, torch.arange(40).expand(3, -1))
    packed = tokens(network, 40, 12).pack(24, cache.unused_slot)
    compare(lambda given: text.prefill(given, image, cache), packed)
    compare(lambda given: text.forward(given, cache), tokens(network, 52, 10).pack(16, cache.unused_slot))


@torch.inference_mode()
@pytest.mark.parametrize('phrases', [1, 4])
def test_the_detector_compiles_as_one_graph(own: InstructSAMSegmenter, frames: list[Frame], phrases: int) -> None:
    network = own.network
    vision = network.model.grounding_model.encode(own.preprocessor.pixels(frames[0], CPU).sam3)
    features = vision.select(torch.zeros(phrases, dtype=torch.long))
    states = torch.randn(phrases, *network.model.mask_queries.shape, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(32).expand(phrases, -1)

    def detect(states: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        prediction = network.ground(features, states, ids, ids < 5)
        return prediction.mask_logits, prediction.score_logits, prediction.refined_xyxy

    compare(detect, states, ids)


class Cube(torch.nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs**3


def test_compiler_keeps_results() -> None:
    assert InductorCompiler('eager')(Cube())(torch.tensor(2.0)) == 8


class Broken(torch.nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return inputs + 1


def test_compiler_falls_back_to_eager_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    compiler = InductorCompiler('eager')
    with caplog.at_level(logging.WARNING):
        results = [compiler(Broken())(torch.tensor(1.0)) for _ in range(3)]
    assert results == [2, 2, 2]
    assert len(caplog.records) == 1
    assert 'Broken cannot be compiled on this machine and runs uncompiled' in caplog.text


def test_compiler_caches_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv('TORCHINDUCTOR_CACHE_DIR', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    InductorCompiler()
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    assert cache_dir() == str(tmp_path / 'instructsam' / 'inductor')
