"""Training runs of SAM3-I: three stages, what each writes, and exact resume.

Covers families/sam3i/family.py, families/sam3i/outputs.py, families/sam3i/batch.py,
families/sam3i/instruction_table.py, families/module_report.py, check/instructions.py and config/sam3i_options.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, load_segmenter
from instructsam_model.image_io import read_image
from instructsam_training.api import make_config
from instructsam_training.cli.train import main
from instructsam_training.config.config_file import read_config
from instructsam_training.config.data_options import DataConfig
from instructsam_training.config.options import TrainConfig
from instructsam_training.config.sam3i_options import Sam3IStageConfig
from instructsam_training.engine import loop
from instructsam_training.engine.loop import train
from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.families.choose import choose_family
from instructsam_training.families.sam3i.image_transforms import choose_sides
from instructsam_training.families.sam3i.instruction_table import open_instruction_table
from instructsam_training.families.sam3i.task import Sam3ITask
from tests.support import GOLDEN, ROOT
from tests.support.small_run import ENVIRONMENT, LAUNCH, weights
from tests.support.tiny_sam3i import TINY, write_tiny_public

STAGE: dict[str, Any] = {
    'data': {'files': ['sam3i_train'], 'folder': str(GOLDEN), 'workers': 0, 'check_samples': 2},
    'steps': 2,
    'global_batch': 2,
    'micro_batch': 2,
    'weight_decay': 0.1,
    'clip': 0.1,
    'save_every': 1,
}
OBJECTIVES = {'stage1_1': 'simple', 'stage1_2': 'complex', 'stage3': 'aligned'}


def write_config(folder: Path, *names: str, init: str = 'corrected', **changes: Any) -> Path:
    """Write a run with stages of these names, all three without names."""
    stages = [
        {
            **STAGE,
            'name': name,
            'sam3i': {'objective': objective, 'init': init, 'data': {'sides': 'input'}, 'warmup_steps': 0},
            **changes,
        }
        for name, objective in OBJECTIVES.items()
        if name in (names or OBJECTIVES)
    ]
    content = {
        'out': str(folder / 'run'),
        'start': {'sam3': str(GOLDEN / 'sam3-tiny'), 'adapters': {'adapter_dim': 4, 'adapter_heads': 2}},
        'device': 'cpu',
        'precision': 'float32',
        'trackers': [],
        'stages': stages,
    }
    file = folder / 'run.yaml'
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope='module', autouse=True)
def without_curves() -> Iterator[None]:
    """Plots take longer than the steps; test_curves draws some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, 'draw_curves', lambda *_: None)
        yield


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all three stages."""
    folder = tmp_path_factory.mktemp('sam3i')
    assert main([str(write_config(folder))]) == 0
    return folder / 'run'


def test_each_stage_moves_its_own_tensors_alone(run: Path) -> None:
    stages = {name: weights(run, name) for name in OBJECTIVES}
    first, second, third = stages.values()
    moved = {name for name in first if not torch.equal(first[name], second[name])}
    assert {name.partition('adapter')[2].split('.')[0] for name in moved} == {'12', '2'}
    assert {name for name in third if name not in second} == {name for name in third if 'query_proj' in name}
    branches = {
        name.partition('adapter')[2].split('.')[0] for name in second if not torch.equal(second[name], third[name])
    }
    assert branches == {'1', '12', '2'}


def test_stages_name_what_they_are_and_their_sam3(run: Path) -> None:
    contents = {name: json.loads((run / name / 'merged' / 'config.json').read_text()) for name in OBJECTIVES}
    assert {name: content['stage'] for name, content in contents.items()} == {
        'stage1_1': '1_1',
        'stage1_2': '1_2',
        'stage3': '3',
    }
    assert {content['base']['checkpoint'] for content in contents.values()} == {str(GOLDEN / 'sam3-tiny')}
    assert contents['stage3']['adapter']['has_projector']


def test_files_of_a_stage_say_what_was_read_and_what_moved(run: Path) -> None:
    moved = json.loads((run / 'stage1_1' / 'moved.json').read_text())
    assert set(moved.values()) == {'gradient'}
    check = json.loads((run / 'stage3' / 'data_check.json').read_text())
    assert (check['samples'], check['checked'], check['unreadable'], check['cut_texts']) == (31, 2, 0, 0)
    assert (run / 'stage3' / 'data_check.png').is_file()


def test_metrics_have_the_terms_of_the_objective(run: Path) -> None:
    simple, aligned = (read_lines(run / name / 'metrics.jsonl')[-1] for name in ('stage1_1', 'stage3'))
    assert {'box_l1', 'giou', 'score', 'presence', 'mask', 'dice', 'region', 'region_dice'} <= simple.keys()
    assert 'infonce' not in simple
    assert {'kl', 'hard', 'infonce', 'margin'} <= aligned.keys()
    assert aligned['texts'] == 2
    assert 0 <= aligned['texts_with_negatives'] <= 1


def test_result_answers_as_a_back_end(run: Path) -> None:
    segmenter = load_segmenter(run / 'stage3' / 'merged', 'sam3i', 'cpu', 'float32', level='complex')
    answer = segmenter.segment(
        Frame(read_image(GOLDEN / 'images' / '000.png')), Instruction('something red that rolls')
    )
    segmenter.close()
    assert 'complex' in answer.text


def test_interrupted_stage_ends_with_the_same_weights(tmp_path: Path, run: Path) -> None:
    """A copy of the run whose last checkpoint is that of step 1 goes on from there."""
    shutil.copytree(run, tmp_path / 'run')
    stage = tmp_path / 'run' / 'stage1_2'
    shutil.rmtree(stage / 'merged')
    shutil.rmtree(stage / 'states' / 'step-00000002')
    assert (stage / 'states' / 'step-00000001').is_dir()
    train(read_config(write_config(tmp_path, 'stage1_1', 'stage1_2')))
    again, whole = weights(tmp_path / 'run', 'stage1_2'), weights(run, 'stage1_2')
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert read_lines(stage / 'metrics.jsonl')[-1]['loss'] == read_lines(run / 'stage1_2' / 'metrics.jsonl')[-1]['loss']


def test_checkpoint_continues_without_a_change_of_its_adapters(run: Path) -> None:
    """Loading changes nothing: adapters of stage 1_2 are not started again, whatever the path."""
    content = yaml.safe_load(write_config(run.parent, 'stage1_2').read_text())
    content['start'] = {'checkpoint': str(run / 'stage1_2' / 'merged')}
    config = make_config(content)
    task = choose_family(config).load_task(config, config.stages[0], None)
    loaded = {name.removeprefix('network.'): each for name, each in task.network.named_parameters()}
    saved = weights(run, 'stage1_2')
    name = 'transformer.decoder.layers.0.adapter2.up_proj.weight'
    assert torch.equal(loaded['adapters.decoder.0.adapter2.up_proj.weight'], saved[name])


def test_concept_stage_trains_sam3_itself(tmp_path: Path) -> None:
    content = yaml.safe_load(write_config(tmp_path, 'stage1_1', steps=1).read_text())
    rates = {'base': 1e-3, 'text': 0.0, 'detector': 0.0}
    content['stages'][0]['sam3i'] = {'objective': 'concept', 'rates': rates, 'data': {'sides': 'input'}}
    checkpoint = train(make_config(content))
    segmenter = load_segmenter(checkpoint, 'sam3', 'cpu', 'float32')
    segmenter.segment(Frame(read_image(GOLDEN / 'images' / '000.png')), Instruction('red ball'))
    segmenter.close()


def test_unreadable_image_is_refused_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((GOLDEN / 'sam3i_train.json').read_text())
    content['images'] = content['images'][:3]
    content['annotations'] = [each for each in content['annotations'] if each['image_id'] <= 3]
    content['images'][1]['file_name'] = 'images/gone.png'
    (tmp_path / 'sam3i_train.json').write_text(json.dumps(content))
    file = write_config(tmp_path, 'stage1_1')
    settings = [f'stages.0.data.folder={tmp_path}', f'stages.0.data.images={GOLDEN}']
    assert main([str(file), '--check', *settings]) == 2
    assert 'gone.png' in capsys.readouterr().err


def test_entries_without_texts_of_the_level_are_left_out(tmp_path: Path) -> None:
    content = json.loads((GOLDEN / 'sam3i_train.json').read_text())
    for image in content['images'][1:]:
        image['text_inst_input'].pop('complex_query')
    (tmp_path / 'sam3i_train.json').write_text(json.dumps(content))
    data = DataConfig(files=('sam3i_train',), folder=str(tmp_path))
    assert len(open_instruction_table(data, Sam3IStageConfig())) == 31
    table = open_instruction_table(data, Sam3IStageConfig(objective='complex'))
    assert len(table) == 1
    assert table.notes['entries without a text of the level complex'] == 30
    for image in content['images']:
        image['text_inst_input'].pop('simple_query')
    (tmp_path / 'sam3i_train.json').write_text(json.dumps(content))
    with pytest.raises(ConfigError, match='texts of the level simple, found none in 31'):
        open_instruction_table(data, Sam3IStageConfig())


def test_images_of_evaluation_sets_are_left_out(tmp_path: Path) -> None:
    """Known by COCO's numbers, in whatever folder; here by the validation file of SAM3-I."""
    content = json.loads((GOLDEN / 'sam3i_train.json').read_text())
    content['images'][0]['file_name'] = 'train2017/000000000009.jpg'
    (tmp_path / 'sam3i_train.json').write_text(json.dumps(content))
    held_out = {**content, 'images': [{**content['images'][0], 'file_name': 'COCO_train2014_000000000009.jpg'}]}
    (tmp_path / 'sam3i_val.json').write_text(json.dumps({**held_out, 'annotations': []}))
    folder = f'stages.0.data.folder={tmp_path}'
    config = read_config(write_config(tmp_path, 'stage1_1'), [folder, f'stages.0.data.held_out={tmp_path}'])
    task = choose_family(config).load_architecture(config)
    table = task.open_samples()
    assert len(table) == 30
    assert '1 records with images of evaluation sets are left out: sam3i_train.json 1' in task.describe_samples(table)


def test_released_sides_end_below_the_input_and_ours_include_it() -> None:
    assert choose_sides('released', 1008) == tuple(range(480, 993, 32))
    assert choose_sides('extended', 1008)[-2:] == (992, 1008)
    assert choose_sides('input', 224) == (224,)
    assert max(choose_sides('extended', 224)) == 224


def test_batches_draw_texts_by_the_seed(tmp_path: Path) -> None:
    config = read_config(write_config(tmp_path, 'stage1_1'))
    task = choose_family(config).load_architecture(config)
    table, builder = task.open_samples(), task.make_builder()
    counts: Counter[tuple[int, ...]] = Counter()
    for number in range(12):
        example = builder.build(table[0], str(number))  # two texts of the level simple
        ids = builder.collate([example], (), unreadable=0, counts=True).inputs.simple_ids
        assert torch.equal(ids, builder.collate([example], (), unreadable=0, counts=True).inputs.simple_ids)
        counts[tuple(ids[0].tolist())] += 1
    assert len(counts) == 2
    blank = builder.collate([builder.blank()], ('error',), unreadable=1, counts=False)
    assert (blank.target_counts, blank.counts, blank.errors) == ((0,), False, ('error',))


def test_full_size_has_the_known_number_of_new_parameters() -> None:
    configs = ROOT / 'training' / 'configs'
    config = read_config(configs / 'sam3i.yaml')
    last = replace(config, stages=config.stages[-1:])
    [table] = choose_family(last).parameter_tables(last, configs / 'sam3')
    assert table.caption == 'SAM3-I adds 313,817,856 parameters to SAM3.'
    [*_, trainable, _, _] = [[*column.cells][-1] for column in table.columns]
    assert trainable == '313,817,856'


def test_shipped_configurations_are_valid() -> None:
    for name in ('sam3i', 'sam3i-released', 'sam3i-tiny'):
        config = read_config(ROOT / 'training' / 'configs' / f'{name}.yaml')
        assert [stage.sam3i.objective for stage in config.stages if stage.sam3i] == [*OBJECTIVES.values()]


def test_public_checkpoint_needs_its_sam3_named(tmp_path: Path) -> None:
    content = yaml.safe_load(write_config(tmp_path, 'stage1_1').read_text())
    content['start'] = {'checkpoint': str(GOLDEN / 'sam3-tiny')}
    config: TrainConfig = make_config(content)
    with pytest.raises(CheckpointError, match=r'name a SAM3 as start\.sam3'):
        choose_family(config).load_task(config, config.stages[0], None)


def test_public_checkpoint_goes_on_with_its_own_sam3_alone(tmp_path: Path) -> None:
    content = yaml.safe_load(write_config(tmp_path, 'stage1_1').read_text())
    public = write_tiny_public(tmp_path / 'public')
    adapters = {'adapter_heads': TINY.adapter_heads, 'adapter_scale': TINY.adapter_scale}
    for base, message in (('', 'expected the SAM3 of'), (str(GOLDEN / 'sam3-tiny'), 'with other weights')):
        content['start'] = {'checkpoint': str(public), 'sam3': base, 'adapters': adapters}
        config: TrainConfig = make_config(content)
        with pytest.raises(CheckpointError, match=f'start.sam3: .*{message}'):
            choose_family(config).load_task(config, config.stages[0], None)
    content['start']['sam3'] = str(tmp_path / 'public_base')
    config = make_config(content)
    task = choose_family(config).load_task(config, config.stages[0], None)
    assert isinstance(task, Sam3ITask)
    assert task.network.network.adapters.config.adapter_scale == TINY.adapter_scale


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """The same micro-batches, one in each process: the losses differ in their last digits only."""
    results = []
    for launcher in ([], LAUNCH[1:]):
        folder = tmp_path / str(len(results))
        folder.mkdir()
        file = write_config(folder, 'stage1_1', global_batch=4)
        command = [LAUNCH[0], *launcher, '-m', 'instructsam_training.cli.train', str(file)]
        subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True)
        results.append([line['loss'] for line in read_lines(folder / 'run' / 'stage1_1' / 'metrics.jsonl')])
    assert results[0] == pytest.approx(results[1], rel=1e-4)
    # Stage 3 gathers texts: those of both processes.
    folder = tmp_path / 'aligned'
    folder.mkdir()
    file = write_config(folder, 'stage3', global_batch=4)
    command = [*LAUNCH, '-m', 'instructsam_training.cli.train', str(file)]
    subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True)
    [*_, last] = read_lines(folder / 'run' / 'stage3' / 'metrics.jsonl')
    assert last['texts'] == 4
