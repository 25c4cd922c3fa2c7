"""More instances than a model finds at once: rounds with the found ones covered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instructsam_model import Frame, Instance, Instruction, Segmentation, Selection, load_segmenter
from instructsam_model.datatypes import never
from instructsam_model.masks import mask_iou, tight_box
from instructsam_model.rounds import RepeatingSegmenter
from instructsam_training.tabletop.scene.sampling import sample_scene
from instructsam_training.tabletop.scene.scene import Scene
from tests.support import GOLDEN
from tests.support.rendering import open_renderer
from tests.support.tiny_sam3 import write_tiny_sam3

K = 3
SQUARES = [(10 * column, 10 * row) for row in range(2) for column in range(4)]
GRAY = 100


class Counter:
    """Finds white squares, at most K at once; scores fall from left to right and from top to bottom."""

    def __init__(self, *, sees_ghosts: bool = False) -> None:
        self.frames: list[Frame] = []
        self.sees_ghosts = sees_ghosts

    def warm_up(self, size_wh: tuple[int, int]) -> None: ...

    def memory_bytes(self) -> int | None:
        return 7

    def close(self) -> None: ...

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        self.frames.append(frame)
        selection = selection or Selection()
        found = [
            square(number, frame.size_wh)
            for number, (x, y) in enumerate(SQUARES)
            if self.sees_ghosts or frame.image_rgb[y, x].min() > 200
        ]
        kept = tuple(found[: min(K, selection.max_instances)])
        return Segmentation(
            kept, instruction, 'square', frame.size_wh, frame.stamp_ns, frame.frame_id, {'answer': 1.0},
            truncated=len(found) >= K or len(found) > selection.max_instances,
        )  # fmt: skip


def square(number: int, size_wh: tuple[int, int]) -> Instance:
    mask = np.zeros(size_wh[::-1], dtype=np.bool_)
    x, y = SQUARES[number]
    mask[y : y + 5, x : x + 5] = True
    box_xyxy = tight_box(mask)
    assert box_xyxy is not None
    return Instance(mask, box_xyxy, 0.9 - 0.05 * number, 'square')


@pytest.fixture
def frame() -> Frame:
    pixels = np.full((20, 40, 3), GRAY, dtype=np.uint8)
    for x, y in SQUARES:
        pixels[y : y + 5, x : x + 5] = 255
    return Frame(pixels, 5, 'camera')


def find(counter: Counter, frame: Frame, max_rounds: int, max_instances: int = 100) -> Segmentation:
    repeating = RepeatingSegmenter(counter, max_rounds, K, Selection(max_instances=max_instances))
    return repeating.segment(frame, Instruction('squares'))


def numbers(found: Segmentation) -> Sequence[int]:
    return [round((0.9 - instance.score) / 0.05) for instance in found.instances]


@pytest.mark.parametrize(
    ('max_rounds', 'max_instances', 'expected', 'rounds', 'is_truncated'),
    [
        (1, 100, 3, 1, True),
        (2, 100, 6, 2, True),
        (3, 100, 8, 3, False),
        (9, 100, 8, 4, False),  # the last one finds nothing new
        (9, 8, 8, 3, False),
        (9, 6, 6, 2, True),
        (9, 5, 5, 2, True),
        (9, 3, 3, 1, True),  # the limit is reached in the first round
    ],
)
def test_rounds_end_with_the_limit_or_the_last_object(
    frame: Frame, max_rounds: int, max_instances: int, expected: int, rounds: int, is_truncated: bool
) -> None:
    counter = Counter()
    found = find(counter, frame, max_rounds, max_instances)
    assert numbers(found) == list(range(expected))
    assert (len(counter.frames), found.truncated) == (rounds, is_truncated)
    assert found.timings == {'answer': rounds}
    assert (found.stamp_ns, found.frame_id, found.text) == (5, 'camera', 'square')


def test_found_instances_are_covered_with_the_color_of_the_rest(frame: Frame) -> None:
    counter = Counter()
    find(counter, frame, 3)
    first, _, last = counter.frames
    assert first is frame
    assert frame.image_rgb[0, 0].min() == 255, 'the image itself stays as it is'
    covered = last.image_rgb[0, 0]
    assert covered.tolist() == counter.frames[2].image_rgb[4, 4].tolist()
    assert GRAY <= covered.min() < 150
    assert len({each.frame_id for each in counter.frames}) == 3, 'no text of an earlier round is reused'


def test_instances_that_are_found_again_are_dropped(frame: Frame) -> None:
    """A covered object may still have a visible outline."""
    counter = Counter(sees_ghosts=True)
    found = find(counter, frame, 9)
    assert numbers(found) == [0, 1, 2]
    assert len(counter.frames) == 2, 'a round without anything new is the last'
    assert found.truncated


@pytest.mark.parametrize(('objects', 'rounds'), [(0, 1), (1, 1), (2, 2)])
def test_few_objects_take_one_round(frame: Frame, objects: int, rounds: int) -> None:
    """Half of K: an instruction that means one object must not get another one."""
    for x, y in SQUARES[objects:]:
        frame.image_rgb[y : y + 5, x : x + 5] = GRAY
    counter = Counter()
    assert numbers(find(counter, frame, 9)) == list(range(objects))
    assert len(counter.frames) == rounds


def test_more_than_k_boxes_on_the_simulated_tabletop() -> None:
    """15 boxes; the embedded checkpoint has K = 10 and was trained on scenes of at most 10 objects."""
    with open_renderer((640, 480)) as renderer:
        view = renderer.render(scene_with_boxes(seed=5, columns=5, rows=3))
    selection, instruction = Selection(max_instances=100), Instruction('all the boxes')
    truth = [view.labels == number for number in range(1, 16)]
    found = []
    for max_rounds in (1, 3):
        segmenter = load_segmenter(device='cpu', dtype='float32', selection=selection, max_rounds=max_rounds)
        instances = segmenter.segment(Frame(view.image_rgb), instruction).instances
        found.append(sum(any(mask_iou(box, each.mask) > 0.5 for each in instances) for box in truth))
        segmenter.close()
    assert found[1] >= found[0] + 2, found


def scene_with_boxes(seed: int, columns: int, rows: int) -> Scene:
    """A sampled room, light and camera with a grid of equal cubes of 4 cm."""
    scene = sample_scene(seed)
    boxes = tuple(
        replace(
            scene.bodies[0], label=row * columns + column + 1, category='box', size_m=(0.04, 0.04, 0.04),
            position_m=(0.08 * (column - (columns - 1) / 2), 0.08 * (row - (rows - 1) / 2), 0.02), yaw=0.3 * column,
            tilt=0.0, on=None, inside=None,
        )
        for row in range(rows)
        for column in range(columns)
    )  # fmt: skip
    return replace(scene, bodies=boxes)


@pytest.mark.parametrize(('max_rounds', 'said'), [(1, 'phrase'), (3, 'phrase in each of 3 rounds')])
def test_number_of_instances_that_can_be_found_is_logged(
    max_rounds: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level('INFO'):
        load_segmenter(GOLDEN / 'checkpoint', device='cpu', dtype='float32', max_rounds=max_rounds).close()
    assert f'finds at most 4 instances per {said}' in caplog.messages


def test_number_of_instances_that_sam3_can_find_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level('INFO'):
        segmenter = load_segmenter(write_tiny_sam3(tmp_path), device='cpu', dtype='float32')
    [message] = [each for each in caplog.messages if each.startswith('finds at most')]
    frame = Frame(np.zeros((48, 64, 3), dtype=np.uint8))
    count = len(segmenter.predict(frame, 'mug').scores)  # type: ignore[attr-defined]
    assert message == f'finds at most {count} instances per phrase'
