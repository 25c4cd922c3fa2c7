"""Ids of two look-alikes on the simulated table while the camera swings and one of them slides."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from instructsam_model import Instance
from instructsam_model.masks import tight_box
from instructsam_ros.inference.tracking import Tracker

pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')

from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import SceneView
from instructsam_training.tabletop.scene.sampling import sample_scene
from tests.support.rendering import open_renderer

RATE_HZ = 10.0
FRAMES = 60
MISSED = 0.1
"""Share of the images in which the network would not find a thing."""
SCENES = {61: (1, 4), 87: (3, 4), 147: (4, 2), 155: (2, 3)}
"""Seed: labels of two things of one kind and color, of which the second slides; both stay in sight."""


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    with open_renderer() as made:
        yield made


def found(view: SceneView, label: int, rng: np.random.Generator) -> Instance | None:
    """A thing as a network sees it: with a ragged outline, and sometimes not at all."""
    mask = (view.labels == label).astype(np.uint8)
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    mask = change(mask, np.ones(rng.integers(1, 4, 2), np.uint8))
    box = tight_box(mask.astype(np.bool_))
    if box is None or rng.random() < MISSED:
        return None
    return Instance(mask.astype(np.bool_), box, float(rng.uniform(0.3, 1.0)))


@pytest.mark.parametrize('seed', SCENES)
def test_similar_objects_keep_their_ids(renderer: Renderer, seed: int):
    scene, rng = sample_scene(seed), np.random.default_rng(seed)
    numbers = iter(range(1000))
    tracker = Tracker(lambda: str(next(numbers)))
    names: dict[int, str] = {}
    kept = seen = 0
    for frame in range(FRAMES):
        view = renderer.render(scene.at_time(frame / RATE_HZ))
        answers = [(label, each) for label in SCENES[seed] if (each := found(view, label, rng)) is not None]
        answers.sort(key=lambda answer: -answer[1].score)
        tracked = tracker.update([each for _, each in answers])
        for (label, _), instance in zip(answers, tracked, strict=True):
            kept += names.setdefault(label, instance.id) == instance.id
            seen += 1
    assert seen > FRAMES
    assert len(set(names.values())) == len(SCENES[seed])
    assert kept >= 0.95 * seen
