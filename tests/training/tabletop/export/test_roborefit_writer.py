"""Simulated tables as RoboRefIt is released: the reader of the data set finds in them what the simulator knows."""

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
from instructsam_training.datasets.roborefit import read_depth, read_roborefit
from instructsam_training.tabletop.export import roborefit_writer as command
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import View
from instructsam_training.tabletop.scene.sampling import sample_scene

SIZE_WH = (160, 120)
PLAN = command.plan_of('testB', 4, size_wh=SIZE_WH)


@pytest.fixture(scope='module')
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('release')
    assert command.write_release(PLAN, 'testB', out) > 8
    return out


@pytest.fixture(scope='module')
def views() -> list[View]:
    renderer = Renderer(SIZE_WH)
    seen = [renderer.view(sample_scene(PLAN.scene_seed(number))) for number in range(PLAN.scenes)]
    renderer.close()
    return seen


def read(root: Path) -> list[Sample]:
    report = SkipReport()
    samples = list(read_roborefit(root, 'testB', report))
    assert not report.errors
    return samples


def test_what_is_read_back_is_what_was_seen(release: Path, views: list[View]) -> None:
    samples = read(release)
    assert [sample.id for sample in samples] == [f'{number:07}' for number in range(PLAN.scenes)]
    for sample, view in zip(samples, views, strict=True):
        assert np.array_equal(np.asarray(Image.open(sample.image)), view.image_rgb)
        assert sample.depth is not None
        assert np.nanmax(np.abs(read_depth(sample.depth) - view.depth_m)) <= 0.0005001
        things = {(view.labels == thing.label).tobytes(): thing for thing in view.things}
        for annotation in sample.annotations:
            [mask] = map(decode_rle, annotation.masks)
            thing = things[mask.tobytes()]
            assert annotation.phrase == thing.category
            assert annotation.box_xyxy == thing.box_xyxy == tuple(tight_box(mask))


def test_the_files_are_those_of_the_release(release: Path) -> None:
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


def test_the_older_name_alone_is_enough(tmp_path: Path, release: Path) -> None:
    folder = release / 'final_dataset' / 'testB'
    other = tmp_path / 'final_dataset' / 'testB'
    other.mkdir(parents=True)
    (other / 'refindoor_testB_with_scene.json').write_bytes((folder / 'refindoor_testB_with_scene.json').read_bytes())
    for name in ('image', 'mask', 'depth'):
        (other / name).symlink_to(folder / name)
    masks = [[annotation.masks for annotation in sample.annotations] for sample in read(tmp_path)]
    assert masks == [[annotation.masks for annotation in sample.annotations] for sample in read(release)]


def test_splits_share_no_scene() -> None:
    plans = [command.plan_of(split, 100, seed) for split in ('train', 'testA', 'testB') for seed in (0, 1)]
    seeds = [plan.scene_seed(number) for plan in plans for number in range(plan.scenes)]
    assert len({*seeds}) == len(seeds)
    assert [plan.split for plan in plans[::2]] == ['train', 'test', 'test']


def test_a_split_is_not_mixed_with_another(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path), '--scenes', '1']) == 0
    assert capsys.readouterr().out.startswith(f'{tmp_path}/final_dataset/testA: ')
    assert command.main([str(tmp_path), '--scenes', '1']) == 2
    assert 'expected no such folder' in capsys.readouterr().err
    assert command.main([str(tmp_path), '--scenes', '0', '--split', 'train']) == 2
