"""Pictures: the same every time, and image, depth, labels and facts agree with each other and with the scene."""

from __future__ import annotations

import colorsys
import hashlib
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
from instructsam_training.tabletop.scene.ground_truth import View
from instructsam_training.tabletop.scene.sampling import sample_scene
from instructsam_training.tabletop.scene.scene import Body, Camera, Scene
from tests.support.rendering import open_renderer


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    with open_renderer() as made:
        yield made


def digest(view: View) -> str:
    content = hashlib.sha256()
    for array in (view.image_rgb, view.depth_m, view.labels, view.intrinsics, view.camera_pose):
        content.update(array.tobytes())
    return f'{content.hexdigest()} {view.things}'


def body(label: int, category: str, color: str, xy_m: tuple[float, float] = (0, 0)) -> Body:
    size = CATALOG[category].size_m
    position = (*xy_m, size[2] / 2)
    material = CATALOG[category].materials[0]
    return Body(label, category, color, material, rgb_of(COLORS[color].hsv), size, position, yaw=0.3)


def scene_of(*bodies: Body, elevation_deg: float = 45, distance_m: float = 0.8) -> Scene:
    camera = Camera((0, 0, 0.03), distance_m, 0.2, radians(elevation_deg), 0.05, radians(45))
    motion = replace(sample_scene(0).motion, label=None)
    return replace(sample_scene(0), bodies=bodies, camera=camera, motion=motion)


def in_camera_px(view: View, points_m: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(view.camera_pose)
    pixels = (points_m @ inverse[:3, :3].T + inverse[:3, 3]) @ view.intrinsics.T
    return np.asarray(pixels[:, :2] / pixels[:, 2:])


def test_same_seed_same_bytes_in_any_order_and_process(renderer: Renderer) -> None:
    renderer.view(sample_scene(6).moved(2.0))
    first = digest(renderer.view(sample_scene(5)))
    renderer.view(sample_scene(7))
    assert digest(renderer.view(sample_scene(5))) == first
    paths = sys.path
    code = 'from tests.training.tabletop.render.test_render import *; print(digest(Renderer().view(sample_scene(5))))'
    command = [sys.executable, '-c', f'import sys; sys.path[:] = {paths}; {code}']
    other = subprocess.run(command, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == first


def test_depth_of_every_thing_is_where_the_thing_is(renderer: Renderer) -> None:
    for seed in range(12):
        scene = sample_scene(seed)
        view = renderer.view(scene)
        assert view.depth_m.min() > 0
        for thing in view.things:
            rows, columns = np.nonzero(view.labels == thing.label)
            rays = np.stack([columns, rows, np.ones_like(rows)], 1) @ np.linalg.inv(view.intrinsics).T
            points = rays * view.depth_m[rows, columns, None] @ view.camera_pose[:3, :3].T + view.camera_pose[:3, 3]
            described = scene.bodies[thing.label - 1]
            own = (points - thing.position_m) @ described.rotation
            assert np.all(np.abs(own) < np.array(described.size_m) / 2 + 1e-3), (seed, thing)
            assert len(rows) == thing.area_px
            box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert box == thing.box_xyxy


@pytest.mark.parametrize('category', CATALOG)
def test_lone_thing_is_seen_whole_and_where_it_projects_to(renderer: Renderer, category: str) -> None:
    alone = body(1, category, CATALOG[category].colors[0])
    view = renderer.view(scene_of(alone))
    (thing,) = view.things
    assert thing.visible > 0.98
    corners = in_camera_px(view, alone.corners_m)
    assert np.all(np.array(thing.box_xyxy[:2]) > corners.min(0) - 1)
    assert np.all(np.array(thing.box_xyxy[2:]) < corners.max(0) + 2)
    assert thing.area_px > 0.15 * np.prod(np.ptp(corners, axis=0))
    assert thing.position_camera_m[2] == pytest.approx(0.8, abs=0.1)


def test_hidden_and_cut_off_things_are_seen_in_part(renderer: Renderer) -> None:
    behind, front = body(1, 'ball', 'red', (0, 0.12)), body(2, 'box', 'blue')
    front = replace(front, size_m=(0.05, 0.05, 0.25), position_m=(0.055, 0, 0.125), yaw=0.0)
    seen = {thing.label: thing.visible for thing in renderer.view(scene_of(behind, front, elevation_deg=25)).things}
    assert 0.05 < seen[1] < 0.8
    assert seen[2] > 0.98

    plate = body(1, 'plate', 'white', (-0.42, 0))
    (cut,) = renderer.view(scene_of(plate)).things
    assert cut.box_xyxy[0] == 0
    assert 0.1 < cut.visible < 0.9

    huge = replace(plate, size_m=(1.4, 1.4, 0.02), position_m=(0, 0, 0.01))
    (cut,) = renderer.view(scene_of(huge, elevation_deg=75)).things
    assert cut.area_px == 320 * 240
    disc_px = np.pi / 4 * (1.4 / 0.8 * 120 / np.tan(radians(22.5))) ** 2 * np.sin(radians(75))
    assert cut.visible == pytest.approx(320 * 240 / disc_px, rel=0.1)


def test_thing_that_nothing_shows_is_no_thing(renderer: Renderer) -> None:
    away = body(1, 'ball', 'red', (3.0, 0))
    hidden = replace(body(2, 'ball', 'red'), size_m=(0.02, 0.02, 0.02), position_m=(0, 0, 0.03))
    cover = replace(body(3, 'box', 'blue'), size_m=(0.1, 0.1, 0.1), position_m=(0, 0, 0.05))
    view = renderer.view(scene_of(away, hidden, cover))
    assert [thing.label for thing in view.things] == [3]


@pytest.mark.parametrize('color', COLORS)
def test_thing_has_the_color_that_it_is_said_to_have(renderer: Renderer, color: str) -> None:
    view = renderer.view(scene_of(body(1, 'book', color), elevation_deg=70))
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


def test_pictures_are_neither_dark_nor_blown_out_nor_alike(renderer: Renderer) -> None:
    pictures = [renderer.view(sample_scene(seed)).image_rgb for seed in range(100, 116)]
    means = [picture.mean() for picture in pictures]
    assert 55 < min(means) < max(means) < 210
    assert np.ptp(means) > 25
    assert max((picture.min(2) == 255).mean() for picture in pictures) < 0.2


def test_moving_scene_keeps_labels_and_facts(renderer: Renderer) -> None:
    scene = next(scene for scene in map(sample_scene, range(20)) if scene.motion.label is not None)
    before, after = renderer.view(scene), renderer.view(scene.moved(scene.motion.slide_period_s / 2))
    assert digest(renderer.view(scene.moved(0.0))) == digest(before)
    facts = [{thing.label: (thing.category, thing.volume_m3) for thing in view.things} for view in (before, after)]
    shared = facts[0].keys() & facts[1].keys()
    assert len(shared) >= 2
    assert all(facts[0][label] == facts[1][label] for label in shared)
    assert (before.labels != after.labels).any()


def test_missing_opengl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    monkeypatch.setattr(headless, 'find_library', lambda name: None)
    with pytest.raises(RenderError, match='apt install libegl1'):
        headless.open_context((8, 8))
