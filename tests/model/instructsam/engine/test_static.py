"""The static engine gives the results of the reference engine, however its passes run.

Covers instructsam.engine.engine, instructsam.engine.choose, instructsam.engine.reference, instructsam.qwen3vl,
instructsam.random_weights and runtime.streams.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from instructsam_model import Frame, Instruction, load_segmenter
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.engine.static import PHRASE_SIZES, TEXT_CAPACITY, TEXT_SIZES, StaticEngine
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.random_weights import ScriptedEngine
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.compilation import InductorCompiler, run_eagerly
from instructsam_model.runtime.graphs import Capture, run_directly
from tests.support.recorded_graphs import RecordedGraphs

INSTRUCTIONS = [
    Instruction(text)
    for text in ("Please segment 'green ball and red box'.", 'Which thing is left of the ball?', 'find the red box')
]


class CountedGraphs:
    """`RecordedGraphs` that also lists the captured passes."""

    def __init__(self) -> None:
        self.captured: list[str] = []
        self._graphs = RecordedGraphs()

    def capture(self, name: str, run: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> Callable[..., Any]:
        self.captured.append(name)
        return self._graphs.capture(name, run, inputs)


def static(checkpoint: Path, capture: Capture = run_directly, **options: Any) -> InstructSAMSegmenter:
    loaded = load_segmenter(checkpoint, device='cpu', dtype='float32')
    engine = StaticEngine(loaded.network, capture=capture, compile_=run_eagerly)
    return InstructSAMSegmenter(loaded.network, loaded.preprocessor, engine=engine, **options)


def assert_same(ours: Prediction, theirs: Prediction) -> None:
    assert (ours.answer, ours.phrases) == (theirs.answer, theirs.phrases)
    for name in ('query_states', 'score_logits', 'refined_xyxy'):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.mask_logits, theirs.mask_logits, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize('protocol', ['trained', 'released'])
@pytest.mark.parametrize('capture', [run_directly, RecordedGraphs().capture], ids=['directly', 'recorded'])
def test_results_equal_those_of_the_reference(
    checkpoint: Path, frames: list[Frame], protocol: str, capture: Capture
) -> None:
    """Images of two sizes in turn, several instructions about each, so that leftover state would show."""
    ours = static(checkpoint, capture, inference_mode=protocol)
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32', inference_mode=protocol)
    narrow = [Frame(np.ascontiguousarray(frame.image_rgb[:, 64:256])) for frame in frames[3:5]]
    kept: list[tuple[Prediction, Prediction]] = []
    for frame in (frames[0], narrow[0], frames[1], narrow[1]):
        kept += [(ours.predict(frame, each), theirs.predict(frame, each)) for each in INSTRUCTIONS]
    for mine, expected in kept:  # only now: a prediction is its caller's, whatever was computed since
        assert_same(mine, expected)


def test_packing_keeps_the_parameters(checkpoint: Path) -> None:
    before = load_segmenter(checkpoint, device='cpu', dtype='float32').network.state_dict()
    after = static(checkpoint).network.state_dict()
    assert list(after) == list(before)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name
    elements = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in after.values()}
    assert sum(elements.values()) == sum(4 * tensor.numel() for tensor in before.values())


def test_packed_network_is_written_completely(checkpoint: Path, tmp_path: Path) -> None:
    packed = static(checkpoint)
    write_checkpoint(tmp_path / 'written', packed.network, packed.preprocessor)
    written = load_segmenter(tmp_path / 'written', device='cpu', dtype='float32').network.state_dict()
    for name, tensor in load_segmenter(checkpoint, device='cpu', dtype='float32').network.state_dict().items():
        assert torch.equal(tensor, written[name]), name


def test_other_instructions_need_no_new_captures(checkpoint: Path, frames: list[Frame]) -> None:
    """For 1 to 60 words about known image sizes: shapes depend on the padded lengths only."""
    graphs = CountedGraphs()
    ours = static(checkpoint, graphs.capture)
    sizes = [frames[0], Frame(np.ascontiguousarray(frames[3].image_rgb[:, 64:256]))]
    for frame in sizes:
        ours.warm_up(frame.size_wh)
    for frame in sizes:
        ours.predict(Frame(frame.image_rgb), Instruction(' '.join(['red'] * 60)))
        ours.predict(frame, Instruction(' '.join(['red'] * 60)))
    graphs.captured.clear()
    for words in (1, 2, 5, 10, 20, 40, 60):
        for frame in sizes:
            ours.predict(Frame(frame.image_rgb), Instruction(' '.join(['red'] * words)))
    assert graphs.captured == []


def test_warm_up_captures_the_usual_passes(checkpoint: Path, frames: list[Frame]) -> None:
    graphs = CountedGraphs()
    ours = static(checkpoint, graphs.capture)
    ours.warm_up(frames[0].size_wh)
    kinds = [name.split()[0] for name in graphs.captured]
    assert kinds.count('prefill') >= 1
    assert [f'text {size}' in graphs.captured for size in TEXT_SIZES[:2]] == [True, True]
    assert [f'sam3 decoder {count}' in graphs.captured for count in PHRASE_SIZES] == [True] * len(PHRASE_SIZES)
    graphs.captured.clear()
    ours.segment(Frame(frames[0].image_rgb), INSTRUCTIONS[0])
    assert graphs.captured == []


@pytest.mark.parametrize('phrases', [1, 2, 3, 8, 9])
def test_results_are_correct_for_any_number_of_phrases(checkpoint: Path, frames: list[Frame], phrases: int) -> None:
    ours = static(checkpoint)
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    special, text = ours.network.config.tokens, ours.preprocessor.text
    script = [t for _ in range(phrases) for t in (special.ref_start, *text('box'), special.ref_end)]
    for segmenter in (ours, theirs):
        segmenter.engine = ScriptedEngine(segmenter.engine, [*script, segmenter.network.config.stop_tokens[0]])
    mine, expected = (each.predict(frames[0], Instruction('boxes')) for each in (ours, theirs))
    assert len(mine.phrases) == phrases
    assert_same(mine, expected)


def test_cache_grows_for_a_long_instruction(checkpoint: Path, frames: list[Frame]) -> None:
    long = Instruction(' '.join(f'the red box number {number}' for number in range(TEXT_CAPACITY // 3)))
    ours = static(checkpoint, RecordedGraphs().capture)
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    assert len(ours.preprocessor.instruction(long.text)) > TEXT_CAPACITY > TEXT_SIZES[-1]
    for instruction in (INSTRUCTIONS[0], long, INSTRUCTIONS[0]):
        assert_same(ours.predict(frames[0], instruction), theirs.predict(frames[0], instruction))


def test_captures_of_old_image_sizes_are_dropped(checkpoint: Path, frames: list[Frame]) -> None:
    graphs = CountedGraphs()
    ours = static(checkpoint, graphs.capture)
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    wide = [Frame(np.ascontiguousarray(frames[0].image_rgb[:, : 64 + 32 * number])) for number in range(6)]
    for frame in [*wide, wide[0]]:
        assert_same(ours.predict(frame, INSTRUCTIONS[2]), theirs.predict(frame, INSTRUCTIONS[2]))
    assert sum(name.startswith('qwen') for name in graphs.captured) == len(wide) + 1  # the first twice


@pytest.mark.parametrize('refused', ['sam3 encoder', 'qwen encoder', 'prefill', 'text', 'sam3 decoder'])
def test_no_pass_is_captured_after_one_that_cannot_be_with_one_warning(
    checkpoint: Path, frames: list[Frame], caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    """Otherwise a captured pass would keep reading the first output of the refused one."""
    graphs = RecordedGraphs()

    def capture(name: str, run: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> Callable[..., Any]:
        if name.startswith(refused):
            raise RuntimeError('no graphs here')
        return graphs.capture(name, run, inputs)

    ours = static(checkpoint, capture)
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    with caplog.at_level(logging.WARNING):
        for frame in (frames[0], frames[3], frames[4]):
            for instruction in INSTRUCTIONS:
                assert_same(ours.predict(frame, instruction), theirs.predict(frame, instruction))
    assert (
        caplog.text.count('cannot be captured; it and all passes after it run without CUDA graphs: no graphs here') == 1
    )


def test_out_of_memory_during_capture_is_raised(checkpoint: Path, frames: list[Frame]) -> None:
    def run_out(*_: Any) -> Callable[..., Any]:
        raise torch.OutOfMemoryError('out of memory')

    with pytest.raises(torch.OutOfMemoryError):
        static(checkpoint, run_out).predict(frames[0], INSTRUCTIONS[0])


def test_failed_pass_does_not_affect_later_ones(
    checkpoint: Path, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = static(checkpoint)
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    with monkeypatch.context() as patch:
        patch.setattr(ours.network.lm_head, 'forward', lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ours.predict(frames[0], INSTRUCTIONS[0])
    assert_same(ours.predict(frames[0], INSTRUCTIONS[1]), theirs.predict(frames[0], INSTRUCTIONS[1]))


@pytest.fixture(scope='module')
def compiled(checkpoint: Path) -> Iterator[InstructSAMSegmenter]:
    torch._dynamo.reset()
    loaded = load_segmenter(checkpoint, device='cpu', dtype='float32')
    engine = StaticEngine(loaded.network, capture=run_directly, compile_=InductorCompiler('eager'))
    yield InstructSAMSegmenter(loaded.network, loaded.preprocessor, engine=engine)
    torch._dynamo.reset()


def test_compiled_layers_keep_results(
    compiled: InstructSAMSegmenter, checkpoint: Path, frames: list[Frame], caplog: pytest.LogCaptureFixture
) -> None:
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    for frame in (frames[0], Frame(np.ascontiguousarray(frames[3].image_rgb[:, 64:256]))):
        assert_same(compiled.predict(frame, INSTRUCTIONS[0]), theirs.predict(frame, INSTRUCTIONS[0]))
    assert 'uncompiled' not in caplog.text


@pytest.mark.slow
def test_inductor_keeps_results(checkpoint: Path, frames: list[Frame]) -> None:
    ours = load_segmenter(checkpoint, device='cpu', dtype='float32', engine='compiled')
    theirs = load_segmenter(checkpoint, device='cpu', dtype='float32')
    for instruction in INSTRUCTIONS:
        assert_same(ours.predict(frames[0], instruction), theirs.predict(frames[0], instruction))
