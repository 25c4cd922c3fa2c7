"""Simulated scenes in the layout of the RoboRefIt release, read back by its reader."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mujoco', reason='mujoco is not installed; pip install -e .[sim]')

from instructsam_model.masks import decode_rle, tight_box
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.roborefit import read_roborefit
from instructsam_training.tabletop.export import roborefit_writer as command
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import SceneView
from instructsam_training.tabletop.scene.sampling import sample_scene

SIZE_WH = (160, 120)
PLAN = command.plan_split('testB', 4, size_wh=SIZE_WH)


@pytest.fixture(scope='module')
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('release')
    assert command.write_release(PLAN, 'testB', out) > 8
    return out


@pytest.fixture(scope='module')
def views() -> list[SceneView]:
    renderer = Renderer(SIZE_WH)
    seen = [renderer.render(sample_scene(PLAN.scene_seed(number))) for number in range(PLAN.scenes)]
    renderer.close()
    return seen


def read(root: Path) -> list[Sample]:
    report = SkipReport()
    samples = list(read_roborefit(root, 'testB', report))
    assert not report.errors
    return samples


def test_samples_read_back_agree_with_the_rendered_scenes(release: Path, views: list[SceneView]) -> None:
    samples = read(release)
    assert [sample.id for sample in samples] == [f'{number:07}' for number in range(PLAN.scenes)]
    for sample, view in zip(samples, views, strict=True):
        assert np.array_equal(np.asarray(Image.open(sample.image)), view.image_rgb)
        assert sample.depth is not None
        assert np.abs(np.asarray(Image.open(sample.depth)) / 1000 - view.depth_m).max() <= 0.0005001
        objects = {(view.labels == obj.label).tobytes(): obj for obj in view.objects}
        for annotation in sample.annotations:
            [mask] = map(decode_rle, annotation.masks)
            obj = objects[mask.tobytes()]
            assert annotation.phrase == obj.category
            assert annotation.box_xyxy == obj.box_xyxy == tuple(tight_box(mask))


def test_files_have_the_layout_of_the_release(release: Path) -> None:
    folder = release / 'final_dataset' / 'testB'
    records = json.loads((folder / 'roborefit_testB.json').read_text())
    assert list(records[0]) == ['num', 'text', 'bbox', 'rgb_path', 'depth_path', 'mask_path', 'scene', 'class']
    assert [record['num'] for record in records] == list(range(len(records)))
    assert records[0]['mask_path'] == 'final_dataset\\testB\\mask\\0000000\\0.png'
    assert [record['text'] for record in records] == [each.text for one in read(release) for each in one.annotations]
    boxes, texts = (ast.literal_eval((folder / name / '0000000.txt').read_text()) for name in ('box', 'text'))
    first = [record for record in records if '0000000.png' in record['rgb_path']]
    assert (boxes, texts) == ([record['bbox'] for record in first], [record['text'] for record in first])
    modes = [Image.open(folder / name).mode for name in ('mask/0000000/0.png', 'depth_colormap/0000000.png')]
    assert modes == ['RGB', 'RGB']
    assert Image.open(folder / 'depth' / '0000000.png').mode == 'I;16'

    older = json.loads((folder / 'refindoor_testB_with_scene.json').read_text())
    assert older == [{key: record[key] for key in record if key != 'class'} for record in records]


def test_older_annotation_file_is_enough(tmp_path: Path, release: Path) -> None:
    folder = release / 'final_dataset' / 'testB'
    other = tmp_path / 'final_dataset' / 'testB'
    other.mkdir(parents=True)
    (other / 'refindoor_testB_with_scene.json').write_bytes((folder / 'refindoor_testB_with_scene.json').read_bytes())
    for name in ('image', 'mask', 'depth'):
        (other / name).symlink_to(folder / name)
    masks = [[annotation.masks for annotation in sample.annotations] for sample in read(tmp_path)]
    assert masks == [[annotation.masks for annotation in sample.annotations] for sample in read(release)]


def test_splits_have_no_scene_in_common() -> None:
    plans = [command.plan_split(split, 100, seed) for split in ('train', 'testA', 'testB') for seed in (0, 1)]
    seeds = [plan.scene_seed(number) for plan in plans for number in range(plan.scenes)]
    assert len({*seeds}) == len(seeds)
    assert [plan.split for plan in plans[::2]] == ['train', 'test', 'test']


def test_existing_split_is_not_overwritten(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path), '--scenes', '1']) == 0
    assert capsys.readouterr().out.startswith(f'{tmp_path}/final_dataset/testA: ')
    assert command.main([str(tmp_path), '--scenes', '1']) == 2
    assert 'expected no such folder' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='2'):
        command.main([str(tmp_path), '--scenes', '0', '--split', 'train'])
