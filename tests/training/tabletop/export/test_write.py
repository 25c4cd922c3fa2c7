"""The data set on disk: determinism, resumption, and agreement with the scenes. Covers dataset.py and
level_files.py too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import decode_rle
from instructsam_training.config.data_options import DataConfig
from instructsam_training.data.sample import Sample, SkipReport
from instructsam_training.datasets.inst2seg import read_inst2seg
from instructsam_training.datasets.io.sam3i_file import LevelTexts, read_sam3i_file
from instructsam_training.datasets.io.training_data import open_table
from instructsam_training.tabletop.export import write as command
from instructsam_training.tabletop.export.dataset import DatasetPlan, write_scene
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.sampling import sample_scene

PLAN = DatasetPlan(scenes=5, seed=3, split='test', size_wh=(160, 120), targets=3, depth=True, shard=2)


HELP_PROGRAM = """
import sys
from {module} import main

try:
    main(['--help'])
except SystemExit:
    heavy = {{'torch', 'transformers', 'mujoco', 'rclpy'}}
    print('loaded:', sorted(heavy & sys.modules.keys()))
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob('*') if file.is_file()}


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('one')
    command.write(PLAN, out)
    return out


def read(folder: Path) -> list[Sample]:
    table = open_table(DataConfig(files=('tabletop_test',), folder=str(folder)))
    return [table[index] for index in range(len(table))]


def test_files_do_not_depend_on_the_number_of_workers(written: Path, tmp_path: Path) -> None:
    command.write(PLAN, tmp_path, workers=2)
    assert contents(tmp_path) == contents(written)
    assert len(list(tmp_path.glob('tabletop_test-*-of-00003.json'))) == 3


def test_data_read_back_agrees_with_the_rendered_scenes(written: Path) -> None:
    renderer = Renderer(PLAN.size_wh)
    samples = read(written)
    assert [sample.scene for sample in samples] == [str(PLAN.scene_seed(number)) for number in range(PLAN.scenes)]
    for sample in samples:
        view = renderer.render(sample_scene(int(sample.scene)))
        assert np.array_equal(np.asarray(Image.open(sample.image)), view.image_rgb)
        assert sample.depth is not None
        assert np.abs(np.asarray(Image.open(sample.depth)) / 1000 - view.depth_m).max() < 0.001
        known = {(view.labels == obj.label).tobytes() for obj in view.objects}
        masks = [rle for annotation in sample.annotations for part in annotation.parts for rle in part.masks]
        assert {decode_rle(rle).tobytes() for rle in masks} <= known
        assert {'phrase', 'sentence', 'caption'} == {annotation.kind for annotation in sample.annotations}
    assert any(annotation.additional_phrases for sample in samples for annotation in sample.annotations)
    renderer.close()


def test_instructions_are_written_for_evaluation(written: Path) -> None:
    report = SkipReport()
    evaluated, trained = list(read_inst2seg(written, 'all', report)), read(written)
    assert not report.errors
    records: list[dict[str, Any]] = json.loads((written / 'inst2seg.json').read_text())
    for record, one, other in zip(records, evaluated, trained, strict=True):
        assert (one.image, record['scene']) == (other.image, other.scene)
        sentences = [annotation for annotation in other.annotations if annotation.kind == 'sentence']
        assert [annotation.text for annotation in one.annotations] == [annotation.text for annotation in sentences]
        for entry, instruction, sentence in zip(record['annotation'], one.annotations, sentences, strict=True):
            assert instruction.masks == tuple(rle for part in sentence.parts for rle in part.masks)
            assert (entry['kind'] == 'none') == (not instruction.masks)
            assert entry['phrase'] == ', '.join(part.phrase for part in sentence.parts)


def test_targets_with_three_levels_are_written_for_sam3i(written: Path) -> None:
    report = SkipReport()
    targets, names = (read_sam3i_file(written / f'sam3i{name}_val.json', report) for name in ('', '_names'))
    assert not report.errors
    records = [entry for file in sorted(written.glob('*of*.json')) for entry in json.loads(file.read_text())]
    entries = [entry for record in records for entry in record['targets']]
    assert len(targets.images) == len(entries) > PLAN.scenes
    for image, entry in zip(targets.images, entries, strict=True):
        assert image.texts == LevelTexts(tuple(entry['concept']), tuple(entry['simple']), tuple(entry['complex']))
        found = [instance.rle(image.size_hw) for instance in targets.instances_by_image[image.id]]
        assert found == entry['ann']
        assert (entry['kind'] == 'none') == (not found)
    known = {sample.image: sample for sample in read(written)}
    for image in names.images:
        named = {annotation.text: annotation for annotation in known[written / image.file_name].annotations}
        assert image.texts == LevelTexts(image.texts.concept)
        found = tuple(instance.rle(image.size_hw) for instance in names.instances_by_image[image.id])
        assert found == named[image.texts.concept[0]].masks


def test_interrupted_run_is_resumed(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(plan: DatasetPlan, out: Path, number: int, view: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return write_scene(plan, out, number, view)

    with monkeypatch.context() as patch:
        patch.setattr(command, 'write_scene', interrupt)
        with pytest.raises(KeyboardInterrupt):
            command.write(PLAN, tmp_path)
    assert [file.name for file in sorted(tmp_path.glob('*of*'))] == ['tabletop_test-00000-of-00003.json']
    assert command.write(PLAN, tmp_path)['scenes'] == 3
    assert contents(tmp_path) == contents(written)


def test_last_line_of_the_command_has_the_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path), '--scenes', '1', '--size', '160x120', '--questions', '3']
    assert command.main(arguments) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report['scenes'] == 1
    assert report['scenes_per_s'] > 0
    record = json.loads((tmp_path / 'tabletop_train.json').read_text())[0]
    sentences = [entry for entry in record['annotation'] if entry['type'] == 'sentence']
    assert len(sentences) + len(record['conversations'] or ()) // 2 == 3
    assert command.main([*arguments, '--seed', '1']) == 2
    assert 'expected an empty folder or one of the plan' in capsys.readouterr().err


@pytest.mark.parametrize('changes', [{'scenes': 0}, {'scenes': 1_000_001}, {'shard': 0}, {'seed': -1}])
def test_invalid_plans(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        DatasetPlan(**{'scenes': 1, **changes})


def test_splits_have_no_scene_in_common() -> None:
    seeds = {
        split: {DatasetPlan(1000, seed, split).scene_seed(number) for seed in range(5) for number in (0, 1, 999)}
        for split in ('train', 'test')
    }
    assert len(seeds['train']) == len(seeds['test']) == 15
    assert not seeds['train'] & seeds['test']


def test_scene_without_annotations_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sampler in ('sample_names', 'sample_captions', 'sample_instructions'):
        monkeypatch.setattr(f'instructsam_training.tabletop.export.dataset.{sampler}', lambda *_: [])
    command.write(DatasetPlan(scenes=1, size_wh=(160, 120)), tmp_path)
    assert json.loads((tmp_path / 'tabletop_train.json').read_text()) == []


@pytest.mark.parametrize('module', ['export.write', 'export.roborefit_writer', 'small_model', 'small_sam3'])
def test_help_is_fast_and_loads_neither_torch_nor_mujoco(module: str) -> None:
    program = HELP_PROGRAM.format(module=f'instructsam_training.tabletop.{module}')
    environment = {'PYTHONPATH': ':'.join(sys.path), 'OMP_NUM_THREADS': '1'}
    before = os.times().children_user
    result = subprocess.run(
        [sys.executable, '-c', program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith('usage: ')
    assert result.stdout.endswith('loaded: []\n')
    assert os.times().children_user - before < 1.5
