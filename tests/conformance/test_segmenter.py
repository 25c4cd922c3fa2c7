"""The contract of `datatypes.Segmenter`, tested once for all back ends and fakes. Covers instructsam_model.backends."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from instructsam_model import (
    CanceledError,
    CheckpointError,
    ConfigError,
    Frame,
    FrameError,
    InferenceError,
    Instruction,
    Segmentation,
    Segmenter,
    Selection,
)
from instructsam_model.backends import BUILT_IN
from instructsam_model.image_io import read_image
from instructsam_model.runtime.stages import observed
from tests.support import GOLDEN, ROOT
from tests.support.backend_cases import CASES, BackendCase
from tests.support.install_dummy import install_dummy

PASSES = ('sam3 vision', 'qwen vision', 'prefill', 'text', 'sam3 decode')
"""Stages that are passes of a model."""
ALL = Selection(min_score=0.0)


@dataclass(frozen=True)
class Opened:
    """A loaded segmenter and where it came from."""

    case: BackendCase
    checkpoint: Path
    segmenter: Segmenter

    @property
    def instructions(self) -> tuple[Instruction, Instruction]:
        first, second = self.case.instructions
        return Instruction(first), Instruction(second)


@pytest.fixture(scope='module', autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the dummy back end be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(install_dummy(tmp_path_factory.mktemp('dummy')))
        yield


@pytest.fixture(scope='module', params=CASES)
def opened(request: pytest.FixtureRequest, installed: None, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    case = CASES[request.param]
    checkpoint = case.write(tmp_path_factory.mktemp('checkpoint') / 'weights')
    return Opened(case, checkpoint, case.open(checkpoint))


@pytest.fixture
def frame() -> Frame:
    """A new frame, which no segmenter has encoded."""
    return Frame(read_image(GOLDEN / 'images' / '000.png'), stamp_ns=7, frame_id='camera')


def copy_of(frame: Frame) -> Frame:
    return replace(frame, image_rgb=frame.image_rgb.copy())


def described(segmentation: Segmentation) -> list[tuple[str, float, bytes]]:
    return [(each.label, each.score, each.mask.tobytes()) for each in segmentation.instances]


class Watch:
    """Records the stages that are passes of a model; cancels in one of them."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.passes: list[str] = []
        self.is_canceled = False
        self._cancel_at = cancel_at

    def __call__(self, stage: str) -> AbstractContextManager[object]:
        if stage in PASSES:
            self.is_canceled |= len(self.passes) == self._cancel_at
            self.passes.append(stage)
        return nullcontext()


def watched(opened: Opened, frame: Frame, instruction: Instruction, watch: Watch) -> Segmentation:
    with observed(watch):
        return opened.segmenter.segment(frame, instruction, ALL, is_canceled=lambda: watch.is_canceled)


def test_every_built_in_back_end_has_a_case() -> None:
    assert {case.backend for case in CASES.values()} >= set(BUILT_IN)


def test_result_is_about_the_frame_and_the_instruction(opened: Opened, frame: Frame) -> None:
    instruction = opened.instructions[0]
    segmentation = opened.segmenter.segment(frame, instruction, ALL)
    assert segmentation.instances, 'expected an instance, to test something'
    assert segmentation.instruction is instruction
    assert (segmentation.size_wh, segmentation.stamp_ns, segmentation.frame_id) == (frame.size_wh, 7, 'camera')
    assert all(instance.mask.any() and instance.label for instance in segmentation.instances)
    assert all(seconds >= 0 for seconds in segmentation.timings.values())


def test_selection_limits_scores_and_number(opened: Opened, frame: Frame) -> None:
    instruction = opened.instructions[0]
    scores = [each.score for each in opened.segmenter.segment(frame, instruction, ALL).instances]
    limit = scores[len(scores) // 2]
    above = opened.segmenter.segment(frame, instruction, Selection(min_score=limit)).instances
    assert [each.score for each in above] == [score for score in scores if score > limit]
    best = opened.segmenter.segment(frame, instruction, Selection(min_score=0.0, max_instances=1)).instances
    assert [each.score for each in best] == scores[:1]


def test_result_that_is_not_all_is_truncated(opened: Opened, frame: Frame) -> None:
    instruction = opened.instructions[0]
    whole = opened.segmenter.segment(frame, instruction, ALL)
    scores = [each.score for each in whole.instances]
    best = opened.segmenter.segment(frame, instruction, Selection(min_score=0.0, max_instances=1))
    # Without a threshold, a model may find as many candidates as it can at once, of which few are left.
    assert best.truncated is (len(scores) > 1 or whole.truncated)
    above_all = Selection(min_score=scores[0])
    assert not opened.segmenter.segment(frame, instruction, above_all).truncated


def test_same_request_gives_the_same_result(opened: Opened, frame: Frame) -> None:
    first, other = opened.instructions
    expected = described(opened.segmenter.segment(frame, first, ALL))
    opened.segmenter.segment(frame, other, ALL)
    assert described(opened.segmenter.segment(frame, first, ALL)) == expected
    assert described(opened.segmenter.segment(copy_of(frame), first, ALL)) == expected


def test_encoding_is_reused_for_the_same_frame_object_only(opened: Opened, frame: Frame) -> None:
    if not opened.case.encodes:
        pytest.skip('not applicable: no image encoder whose passes could be counted')
    watch = Watch()
    for each in (frame, frame, copy_of(frame), copy_of(frame)):
        for instruction in opened.instructions:
            watched(opened, each, instruction, watch)
    assert watch.passes.count('sam3 vision') == 3


def test_canceled_request_ends_within_one_pass(opened: Opened, frame: Frame) -> None:
    instruction = opened.instructions[0]
    complete = Watch()
    expected = described(watched(opened, frame, instruction, complete))
    with pytest.raises(CanceledError):
        opened.segmenter.segment(copy_of(frame), instruction, is_canceled=lambda: True)
    for cancel_at in range(len(complete.passes) - 1):
        watch = Watch(cancel_at)
        if cancel_at + 2 < len(complete.passes):
            with pytest.raises(CanceledError):
                watched(opened, copy_of(frame), instruction, watch)
        assert len(watch.passes) <= cancel_at + 2, f'canceled in {watch.passes[cancel_at]}, ran {watch.passes}'
    assert described(opened.segmenter.segment(frame, instruction, ALL)) == expected


def test_warm_up_leaves_results_unchanged(opened: Opened, frame: Frame) -> None:
    instruction = opened.instructions[0]
    expected = described(opened.segmenter.segment(frame, instruction, ALL))
    opened.segmenter.warm_up((64, 48))
    assert described(opened.segmenter.segment(frame, instruction, ALL)) == expected


def test_size_that_the_model_cannot_process_is_a_frame_error(opened: Opened) -> None:
    if opened.case.impossible_wh is None:
        pytest.skip('not applicable: processes images of every size')
    width, height = opened.case.impossible_wh
    with pytest.raises(FrameError):
        opened.segmenter.segment(Frame(np.zeros((height, width, 3), dtype=np.uint8)), opened.instructions[0])


@pytest.mark.parametrize('size_wh', [(1, 1), (33, 7)])
def test_small_images_give_a_result_or_a_frame_error(opened: Opened, size_wh: tuple[int, int]) -> None:
    frame = Frame(np.full((size_wh[1], size_wh[0], 3), 200, dtype=np.uint8))
    try:
        segmentation = opened.segmenter.segment(frame, opened.instructions[0], ALL)
    except FrameError:
        return
    assert segmentation.size_wh == size_wh


def test_memory_is_a_size_or_unknown(opened: Opened) -> None:
    size = opened.segmenter.memory_bytes()
    assert size is None or size > 0


def test_nothing_is_written_to_standard_output(opened: Opened, frame: Frame, capfd: pytest.CaptureFixture[str]) -> None:
    segmenter = opened.case.open(opened.checkpoint)
    segmenter.warm_up((64, 48))
    segmenter.segment(frame, opened.instructions[0], ALL)
    segmenter.close()
    assert capfd.readouterr().out == ''


def test_works_in_the_thread_that_loaded_it(opened: Opened, frame: Frame) -> None:
    expected = described(opened.segmenter.segment(frame, opened.instructions[0], ALL))
    results: list[list[tuple[str, float, bytes]]] = []

    def work() -> None:
        segmenter = opened.case.open(opened.checkpoint)
        results.append(described(segmenter.segment(frame, opened.instructions[0], ALL)))
        segmenter.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [expected]


def test_closing_frees_the_network_and_ends_requests(opened: Opened, frame: Frame) -> None:
    segmenter = opened.case.open(opened.checkpoint)
    segmenter.segment(frame, opened.instructions[0], ALL)
    network = weakref.ref(opened.case.network(segmenter)) if opened.case.network else None
    segmenter.close()
    segmenter.close()
    with pytest.raises(InferenceError):
        segmenter.segment(frame, opened.instructions[0])
    assert not segmenter.memory_bytes()
    if network is not None:
        gc.collect()
        assert network() is None, f'still used by {gc.get_referrers(network())}'


def test_unknown_option_and_wrong_value_are_config_errors(opened: Opened) -> None:
    if not opened.case.backend:
        pytest.skip('not applicable: no back end, so it has no options')
    with pytest.raises(ConfigError, match='no_such_option'):
        opened.case.open(opened.checkpoint, no_such_option=1)
    with pytest.raises(ConfigError, match='threads' if opened.case.backend != 'dummy' else 'brightness'):
        opened.case.open(
            opened.checkpoint, **({'brightness': -1} if opened.case.backend == 'dummy' else {'threads': -1})
        )


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize('damage', [cut_short, Path.unlink], ids=['cut short', 'missing'])
def test_damaged_checkpoint_is_a_checkpoint_error(
    opened: Opened, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in opened.case.weights:
        if damage is Path.unlink and opened.case.backend == 'dummy':
            continue  # it needs no file
        checkpoint = Path(shutil.copytree(opened.checkpoint, tmp_path / name))
        damage(checkpoint / name)
        with pytest.raises(CheckpointError):
            opened.case.open(checkpoint)


def test_registry_and_options_import_no_torch() -> None:
    code = (
        'import sys; from instructsam_model import backends, backend_arguments, options\n'
        'for name in backends.backend_names(): backends.get_backend(name).options()\n'
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    environment = {'PYTHONPATH': str(ROOT / 'model')}
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
