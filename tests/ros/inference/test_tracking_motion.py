"""Ids of two things that look alike, on a simulated table that moves before a camera that moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('mujoco')

from instructsam_model import Instance
from instructsam_model.masks import tight_box
from instructsam_ros.inference.tracking import Tracker
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.sampling import sample_scene
from instructsam_training.tabletop.scene.scene import Scene
from tests.support.rendering import open_renderer

FRAMES, RATE_HZ = 60, 5.0
UNSEEN, ROUGH = 0.05, 1
"""Share of the masks that are missing, and pixels that the others are shifted by, as a network does not find the truth.

What is shifted out of the image comes in at the other side, as stray pixels do.
"""
KEPT = 0.95


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    with open_renderer() as made:
        yield made


def look_alikes(scene: Scene) -> list[int]:
    """The thing that slides and another one of its kind and color; none where there is no such pair."""
    kinds = {body.label: (body.category, body.color) for body in scene.bodies}
    slides = scene.motion.label
    others = [label for label, kind in kinds.items() if label != slides and kind == kinds.get(slides or 0)]
    return [slides, others[0]] if slides is not None and others else []


@pytest.mark.parametrize('number', range(3))
def test_similar_objects_keep_their_ids(renderer: Renderer, number: int) -> None:
    scene = next(itertools.islice(filter(look_alikes, map(sample_scene, itertools.count())), number, None))
    rng = np.random.default_rng(number)
    names = itertools.count(1)
    tracker = Tracker(lambda: str(next(names)))
    seen: dict[int, list[str]] = {label: [] for label in look_alikes(scene)}
    for frame in range(FRAMES):
        labels = renderer.render(scene.at_time(frame / RATE_HZ)).labels
        found: list[tuple[int, Instance]] = []
        for label in rng.permutation([*seen]).tolist():
            mask = np.roll(labels == label, rng.integers(-ROUGH, ROUGH + 1, 2), axis=(0, 1))
            box = tight_box(mask)
            if box is not None and rng.random() >= UNSEEN:
                found.append((label, Instance(mask, box, float(rng.random()))))
        tracked = tracker.update([instance for _, instance in found])
        for (label, _), instance in zip(found, tracked, strict=True):
            seen[label].append(instance.id)
    for ids in seen.values():
        assert len(ids) > FRAMES / 2
        assert ids.count(ids[0]) >= KEPT * len(ids)
    assert len({ids[0] for ids in seen.values()}) == len(seen)
