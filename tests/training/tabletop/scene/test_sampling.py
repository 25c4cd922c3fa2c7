"""Sampled scenes: no collisions, correct support, motion. Covers scene.py, placement.py and randomization.py too."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.placement import place_inside
from instructsam_training.tabletop.scene.sampling import sample_scene
from instructsam_training.tabletop.scene.scene import Body, Scene
from instructsam_training.tabletop.scene.shapes import mesh_parts

SCENES = [sample_scene(seed) for seed in range(60)]
BODIES = [(scene, body) for scene in SCENES for body in scene.bodies]


def surface_m(body: Body) -> npt.NDArray[np.float64]:
    """[N, 3], all vertices of a body in the table frame."""
    corners = np.concatenate([part.mesh.vertices for part in mesh_parts(body.category)])
    return np.asarray(corners * body.size_m @ body.rotation.T + body.position_m)


def overlap(first: Body, second: Body) -> bool:
    """Whether a vertex of one body is inside the bounding box of the other."""
    for one, other in ((first, second), (second, first)):
        own = (surface_m(one) - other.position_m) @ other.rotation
        if np.any(np.all(np.abs(own) < np.array(other.size_m) / 2 - 1e-6, axis=1)):
            return True
    return False


def supports_of(scene: Scene, body: Body) -> set[int]:
    """Labels of all direct and indirect supports of a body."""
    found: set[int] = set()
    support = body.on or body.inside
    while support:
        found.add(support)
        support = scene.bodies[support - 1].on or scene.bodies[support - 1].inside
    return found


def test_same_seed_same_scene() -> None:
    assert sample_scene(7) == SCENES[7] != SCENES[8]


@pytest.mark.parametrize('time_s', [0.0, 1.3, 3.1])
def test_bodies_do_not_collide(time_s: float) -> None:
    for scene in (scene.at_time(time_s) for scene in SCENES):
        for first, second in combinations(scene.bodies, 2):
            related = second.label in supports_of(scene, first) or first.label in supports_of(scene, second)
            assert related or not overlap(first, second), (scene.seed, first.label, second.label)


def test_bodies_rest_on_their_support() -> None:
    for scene, body in BODIES:
        lowest = surface_m(body)[:, 2].min()
        if body.on is None and body.inside is None:
            assert lowest == pytest.approx(0, abs=1e-3)
        elif body.on is not None and not CATALOG[scene.bodies[body.on - 1].category].cavity:
            below = scene.bodies[body.on - 1]
            assert lowest == pytest.approx(surface_m(below)[:, 2].max(), abs=1e-6)
            away = np.hypot(*(np.subtract(body.position_m, below.position_m)[:2]))
            assert away < min(below.size_m[:2]) / 2


def assert_within_walls(container: Body, body: Body) -> None:
    cavity, (length, depth, height) = CATALOG[container.category].cavity, container.size_m
    assert cavity is not None
    x, y, z = ((surface_m(body) - container.position_m) @ container.rotation).T
    above = (z / height + 0.5 - cavity.floor_height) / (1 - cavity.floor_height)
    wall = depth * (cavity.floor_radius + np.clip(above, 0, 1) * (cavity.rim_radius - cavity.floor_radius))
    within = above < 1
    radius = np.hypot(x - cavity.axis_x * length, y)
    assert np.all(radius[within] < wall[within] + 1e-3), (container.category, body.category)
    assert above.min() > -1e-6
    assert within.any()


def test_contents_are_within_the_walls() -> None:
    contained = [(scene.bodies[body.inside - 1], body) for scene, body in BODIES if body.inside]
    assert {CATALOG[body.category].elongated for _, body in contained} == {True, False}
    for container, body in contained:
        assert_within_walls(container, body)


@pytest.mark.parametrize('category', ['mug', 'cup', 'bowl'])
def test_ball_in_a_container_touches_its_walls(category: str) -> None:
    rng, size = np.random.default_rng(0), CATALOG[category].size_m
    container = Body(1, category, 'red', 'plastic', (1, 0, 0), size, (0, 0, size[2] / 2), yaw=1.0)
    rests = []
    for diameter in np.linspace(0.3, 1.0, 15) * size[1]:
        ball = Body(2, 'ball', 'red', 'plastic', (1, 0, 0), (diameter,) * 3, (0, 0, 0), yaw=0.0)
        placed = place_inside(rng, ball, container)
        rests.append(placed is not None)
        if placed is not None:
            assert_within_walls(container, placed)
    assert rests[0]
    assert not rests[-1]


def test_scenes_have_similar_objects() -> None:
    rivals = [
        (first, second) for scene in SCENES for first, second in combinations(scene.bodies, 2)
        if first.category == second.category
    ]  # fmt: skip
    ratios = [max(a.size_m[0], b.size_m[0]) / min(a.size_m[0], b.size_m[0]) for a, b in rivals]
    assert len(rivals) > 2 * len(SCENES)
    assert np.mean([a.color != b.color for a, b in rivals]) > 0.4
    assert np.mean([ratio > 1.19 for ratio in ratios]) > 0.6
    assert {len(scene.bodies) for scene in SCENES} == set(range(3, 11))
    assert {body.category for _, body in BODIES} == set(CATALOG)


def test_sliding_body_has_no_support_and_supports_no_other() -> None:
    sliding = [(scene, scene.bodies[scene.motion.label - 1]) for scene in SCENES if scene.motion.label]
    assert len(sliding) > len(SCENES) / 2
    for scene, body in sliding:
        assert body.on is None
        assert body.inside is None
        assert all(body.label not in (other.on, other.inside) for other in scene.bodies)


def test_motion_is_periodic() -> None:
    scene = next(scene for scene in SCENES if scene.motion.label is not None)
    motion = scene.motion
    assert scene.at_time(0.0) == scene
    there = scene.at_time(motion.slide_period_s / 2)
    changed = [new.label for new, old in zip(there.bodies, scene.bodies, strict=True) if new != old]
    assert changed == [motion.label]
    slid = np.subtract(there.bodies[changed[0] - 1].position_m, scene.bodies[changed[0] - 1].position_m)
    assert slid[:2] == pytest.approx(motion.slide_m)
    turned = scene.at_time(motion.orbit_period_s / 4).camera.azimuth - scene.camera.azimuth
    assert turned == pytest.approx(motion.orbit)
