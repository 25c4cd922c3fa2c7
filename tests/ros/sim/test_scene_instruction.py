"""The instruction of the demo is true of its scene, and the embedded checkpoint answers that of the default scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')

from instructsam_model import Frame, Instruction, load_segmenter
from instructsam_model.masks import mask_iou
from instructsam_model.weights import embedded
from instructsam_ros.sim.scene_instruction import choose_instruction
from instructsam_ros.sim.sim_camera import CameraParameters
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.sampling import sample_scene
from tests.support.rendering import open_renderer


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    with open_renderer() as made:
        yield made


def test_an_instruction_names_something_in_the_scene(renderer: Renderer):
    for seed in range(1, 9):
        view = renderer.render(sample_scene(seed))
        text = choose_instruction(view, seed)
        assert text == choose_instruction(view, seed)
        names = {word for thing in view.objects for word in (thing.category, *thing.category.split(), thing.color)}
        assert any(name.rstrip('s') in text for name in names), (text, names)


def test_an_empty_table_has_none(renderer: Renderer):
    view = renderer.render(sample_scene(1))
    assert choose_instruction(replace(view, objects=(), labels=np.zeros_like(view.labels)), 1) == ''


@pytest.mark.skipif(not embedded.FOLDER.is_dir(), reason='this installation has no embedded checkpoint')
def test_the_embedded_checkpoint_finds_it_in_the_scene_of_the_demo(renderer: Renderer):
    seed = CameraParameters().seed
    view = renderer.render(sample_scene(seed))
    found = load_segmenter(device='cpu').segment(Frame(view.image_rgb), Instruction(choose_instruction(view, seed)))
    assert found.instances
    # Every instance is one object of the table.
    for instance in found.instances:
        ious = [mask_iou(instance.mask, view.labels == thing.label) for thing in view.objects]
        assert max(ious) > 0.7
