"""Renderer: determinism, and agreement of image, depth, labels and ground truth. Covers mujoco_scene.py too."""

from __future__ import annotations

import colorsys
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import radians

import numpy as np
import pytest

pytest.importorskip('mujoco', reason='mujoco is not installed; pip install -e .[sim]')

from instructsam_training.tabletop.render import headless
from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, rgb_of
from instructsam_training.tabletop.scene.ground_truth import SceneView
from instructsam_training.tabletop.scene.sampling import sample_scene
from instructsam_training.tabletop.scene.scene import Body, OrbitCamera, Scene
from tests.support.rendering import open_renderer, view_digest

DIGEST_IN_A_NEW_PROCESS = """
from instructsam_training.tabletop.scene.sampling import sample_scene
from tests.support.rendering import open_renderer, view_digest

with open_renderer() as renderer:
    print(view_digest(renderer.render(sample_scene(5))))
"""


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    with open_renderer() as made:
        yield made


def body(label: int, category: str, color: str, xy_m: tuple[float, float] = (0, 0)) -> Body:
    size = CATALOG[category].size_m
    position = (*xy_m, size[2] / 2)
    material = CATALOG[category].materials[0]
    return Body(label, category, color, material, rgb_of(COLORS[color].hsv), size, position, yaw=0.3)


def scene_of(*bodies: Body, elevation_deg: float = 45, distance_m: float = 0.8) -> Scene:
    camera = OrbitCamera((0, 0, 0.03), distance_m, 0.2, radians(elevation_deg), 0.05, radians(45))
    motion = replace(sample_scene(0).motion, label=None)
    return replace(sample_scene(0), bodies=bodies, camera=camera, motion=motion)


def in_camera_px(view: SceneView, points_m: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(view.camera_pose)
    pixels = (points_m @ inverse[:3, :3].T + inverse[:3, 3]) @ view.intrinsics.T
    return np.asarray(pixels[:, :2] / pixels[:, 2:])


def test_rendering_depends_only_on_the_scene(renderer: Renderer) -> None:
    renderer.render(sample_scene(6).at_time(2.0))
    first = view_digest(renderer.render(sample_scene(5)))
    renderer.render(sample_scene(7))
    assert view_digest(renderer.render(sample_scene(5))) == first
    code = f'import sys; sys.path[:] = {sys.path}\n{DIGEST_IN_A_NEW_PROCESS}'
    other = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == first


def test_depth_and_labels_agree_with_the_poses_of_the_bodies(renderer: Renderer) -> None:
    for seed in range(12):
        scene = sample_scene(seed)
        view = renderer.render(scene)
        assert view.depth_m.min() > 0
        for obj in view.objects:
            rows, columns = np.nonzero(view.labels == obj.label)
            rays = np.stack([columns, rows, np.ones_like(rows)], 1) @ np.linalg.inv(view.intrinsics).T
            points = rays * view.depth_m[rows, columns, None] @ view.camera_pose[:3, :3].T + view.camera_pose[:3, 3]
            described = scene.bodies[obj.label - 1]
            own = (points - obj.position_m) @ described.rotation
            assert np.all(np.abs(own) < np.array(described.size_m) / 2 + 1e-3), (seed, obj)
            assert len(rows) == obj.area_px
            box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert box == obj.box_xyxy


@pytest.mark.parametrize('category', CATALOG)
def test_single_object_is_fully_visible_at_its_projection(renderer: Renderer, category: str) -> None:
    alone = body(1, category, CATALOG[category].colors[0])
    view = renderer.render(scene_of(alone))
    (obj,) = view.objects
    assert obj.visible > 0.98
    corners = in_camera_px(view, alone.corners_m)
    assert np.all(np.array(obj.box_xyxy[:2]) > corners.min(0) - 1)
    assert np.all(np.array(obj.box_xyxy[2:]) < corners.max(0) + 2)
    assert obj.area_px > 0.15 * np.prod(np.ptp(corners, axis=0))
    assert obj.position_camera_m[2] == pytest.approx(0.8, abs=0.1)


def test_occluded_and_truncated_objects_are_partly_visible(renderer: Renderer) -> None:
    behind, front = body(1, 'ball', 'red', (0, 0.12)), body(2, 'box', 'blue')
    front = replace(front, size_m=(0.05, 0.05, 0.25), position_m=(0.055, 0, 0.125), yaw=0.0)
    seen = {obj.label: obj.visible for obj in renderer.render(scene_of(behind, front, elevation_deg=25)).objects}
    assert 0.05 < seen[1] < 0.8
    assert seen[2] > 0.98

    plate = body(1, 'plate', 'white', (-0.42, 0))
    (cut,) = renderer.render(scene_of(plate)).objects
    assert cut.box_xyxy[0] == 0
    assert 0.1 < cut.visible < 0.9

    huge = replace(plate, size_m=(1.4, 1.4, 0.02), position_m=(0, 0, 0.01))
    (cut,) = renderer.render(scene_of(huge, elevation_deg=75)).objects
    assert cut.area_px == 320 * 240
    disc_px = np.pi / 4 * (1.4 / 0.8 * 120 / np.tan(radians(22.5))) ** 2 * np.sin(radians(75))
    assert cut.visible == pytest.approx(320 * 240 / disc_px, rel=0.1)


def test_invisible_bodies_are_not_listed(renderer: Renderer) -> None:
    away = body(1, 'ball', 'red', (3.0, 0))
    hidden = replace(body(2, 'ball', 'red'), size_m=(0.02, 0.02, 0.02), position_m=(0, 0, 0.03))
    cover = replace(body(3, 'box', 'blue'), size_m=(0.1, 0.1, 0.1), position_m=(0, 0, 0.05))
    view = renderer.render(scene_of(away, hidden, cover))
    assert [obj.label for obj in view.objects] == [3]


@pytest.mark.parametrize('color', COLORS)
def test_rendered_color_is_closest_to_the_color_of_the_object(renderer: Renderer, color: str) -> None:
    view = renderer.render(scene_of(body(1, 'book', color), elevation_deg=70))
    seen_hue, seen_saturation, seen_value = colorsys.rgb_to_hsv(
        *np.median(view.image_rgb[view.labels == 1] / 255, axis=0)
    )
    seen = seen_value * seen_saturation * np.exp(2j * np.pi * seen_hue)

    def difference(name: str) -> float:
        # Shade changes the value most, so that hue and chroma, a point in a disc, count more.
        hue, saturation, value = COLORS[name].hsv
        named = value * saturation * np.exp(1j * radians(hue))
        return float(abs(seen - named) + 0.5 * abs(seen_value - value))

    assert min(COLORS, key=difference) == color


def test_brightness_of_images_varies_within_limits(renderer: Renderer) -> None:
    images = [renderer.render(sample_scene(seed)).image_rgb for seed in range(100, 116)]
    means = [image.mean() for image in images]
    assert 55 < min(means) < max(means) < 210
    assert np.ptp(means) > 25
    assert max((image.min(2) == 255).mean() for image in images) < 0.2


def test_labels_and_ground_truth_are_constant_over_time(renderer: Renderer) -> None:
    scene = next(scene for scene in map(sample_scene, range(20)) if scene.motion.label is not None)
    before, after = renderer.render(scene), renderer.render(scene.at_time(scene.motion.slide_period_s / 2))
    assert view_digest(renderer.render(scene.at_time(0.0))) == view_digest(before)
    ground_truths = [{obj.label: (obj.category, obj.volume_m3) for obj in view.objects} for view in (before, after)]
    shared = ground_truths[0].keys() & ground_truths[1].keys()
    assert len(shared) >= 2
    assert all(ground_truths[0][label] == ground_truths[1][label] for label in shared)
    assert (before.labels != after.labels).any()


def test_error_without_opengl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    monkeypatch.setattr(headless, 'find_library', lambda name: None)
    with pytest.raises(RenderError, match='apt install libegl1'):
        headless.open_context((8, 8))
