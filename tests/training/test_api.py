"""`train` and `evaluate` of the package `instructsam_training`, and the example of training/README.md.

Covers engine.run_result, engine.process_state and evaluation.result.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate import Accelerator

from instructsam_model import CheckpointError, ConfigError, load_segmenter
from instructsam_model.instructsam.model_card import read_card
from instructsam_training import (
    DataConfig,
    EvaluationResult,
    StageConfig,
    TrainConfig,
    TrainResult,
    evaluate,
    make_config,
    train,
)
from instructsam_training.engine import loop
from instructsam_training.engine.process_state import forget_processes
from tests.support import ROOT
from tests.support.small_run import ENVIRONMENT, GOLDEN, STAGE

HEAVY = {'torch', 'transformers', 'accelerate', 'peft', 'datasets', 'matplotlib'}


@dataclass(frozen=True)
class Example:
    """What the example of the README leaves behind."""

    folder: Path
    config: dict[str, Any]
    result: TrainResult
    report: EvaluationResult


@pytest.fixture(scope='module')
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Run the example of training/README.md: two steps of a tiny network in place of ten epochs of the embedded one."""
    folder = tmp_path_factory.mktemp('example')
    write_data(folder / 'data' / 'mugs')
    [code] = re.findall(r'```python\n(.*?)```', (ROOT / 'training' / 'README.md').read_text(), re.DOTALL)
    validation = {'benchmark': 'tabletop', 'data': 'data/mugs', 'every': 2, 'sheet_images': 0}
    for text, replacement in {
        "'precision'": "'trackers': [], 'precision'",  # the tests have no tracker installed
        "'embedded'": repr(str(GOLDEN / 'checkpoint')),
        "'folder'": "'workers': 0, 'max_pixels': 65536, 'folder'",
        "'epochs': 10": f"'steps': 2, 'global_batch': 1, 'validation': {validation}",
    }.items():
        assert text in code
        code = code.replace(text, replacement)
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code, names)
    return Example(folder, names['config'], names['result'], names['report'])


def write_data(folder: Path) -> None:
    """Write training data and three queries about one golden image."""
    folder.mkdir(parents=True)
    for file in GOLDEN.iterdir():
        (folder / file.name).symlink_to(file)
    [record, *_] = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
    record['annotation'] = record['annotation'][:3]
    for entry in record['annotation']:
        entry['kind'] = 'attribute' if entry.get('mask') else 'no-target'  # as in files of the simulated tabletop
    (folder / 'inst2seg.json').write_text(json.dumps([record]))


def content(out: Path, **changes: Any) -> dict[str, Any]:
    return {
        'out': str(out),
        'start': {'checkpoint': str(GOLDEN / 'checkpoint')},
        'stages': [{**STAGE, **changes}],
    }


def test_package_is_imported_without_torch() -> None:
    code = 'import sys; from instructsam_training import train, evaluate, TrainConfig; print(*sys.modules)'
    printed = subprocess.run([sys.executable, '-c', code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(module.partition('.')[0] for module in printed.stdout.split())


def test_result_has_checkpoint_metrics_and_best_step(example: Example) -> None:
    result = example.result
    [stage] = result.stages
    assert result.checkpoint == Path('runs/mugs/first/merged')
    assert (example.folder / result.checkpoint / 'model.safetensors').is_file()
    assert [line['step'] for line in stage.history] == [1, 2]
    assert result.best_step == 2
    assert result.metrics['gIoU'] == stage.history[1]['validation/gIoU']
    # The weights that were validated are those of the checkpoint.
    assert example.report.metrics['gIoU'] == pytest.approx(result.metrics['gIoU'], abs=0.01)


def test_card_of_the_checkpoint_says_how_it_was_trained(example: Example) -> None:
    card = read_card(example.folder / example.result.checkpoint)
    assert card is not None
    assert '| data | train |' in card.text
    assert '| steps | 2 |' in card.text
    assert card.data.datasets == ['train']
    assert card.data.base_model is None  # a folder, whose path the hub would refuse
    assert str(GOLDEN) not in card.content
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values['gIoU'] == pytest.approx(100 * example.result.metrics['gIoU'], abs=0.01)
    assert {each.dataset_type for each in card.data.eval_results} == {'tabletop'}


def test_finished_run_returns_its_result_again(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError('a finished stage is trained again')

    monkeypatch.setattr(loop, 'train_stage', fail)
    monkeypatch.chdir(example.folder)
    assert train(example.config) == example.result


def test_report_of_the_evaluation_is_in_its_folder(example: Example) -> None:
    report = example.report
    assert report.folder == Path('evaluation/mugs')
    assert json.loads((example.folder / report.folder / 'report.json').read_text()) == report.report
    assert (example.folder / report.folder / 'report.html').is_file()
    assert report.skipped == []
    assert report.speed


def test_segmenter_in_memory_has_the_same_metrics(example: Example, tmp_path: Path) -> None:
    checkpoint, data = example.folder / example.result.checkpoint, example.folder / 'data' / 'mugs'
    segmenter = load_segmenter(checkpoint, speculative_decoding=False)
    report = evaluate(segmenter, 'tabletop', data, out=tmp_path / 'out')
    assert report.metrics == example.report.metrics
    # The segmenter is still the caller's, and nothing says whether its earlier predictions are valid.
    with pytest.raises(ConfigError, match='nothing says whether they are those of this segmenter'):
        evaluate(segmenter, 'tabletop', data, out=tmp_path / 'out')
    with pytest.raises(ConfigError, match='dtype: expected no settings of loading'):
        evaluate(segmenter, 'tabletop', data, dtype='float32')


def test_run_of_a_process_does_not_decide_the_precision_of_the_next(tmp_path: Path) -> None:
    for precision in ('no', 'bf16'):
        forget_processes()
        assert Accelerator(mixed_precision=precision, cpu=True).mixed_precision == precision
    forget_processes()


@pytest.mark.parametrize('kind', ['dictionary', 'file', 'object'])
def test_configurations_of_all_kinds_are_the_same(kind: str, tmp_path: Path) -> None:
    made = make_config(content(tmp_path))
    if kind == 'file':
        (tmp_path / 'run.yaml').write_text(yaml.safe_dump(content(tmp_path)))
        assert make_config(tmp_path / 'run.yaml') == made
        assert make_config(str(tmp_path / 'run.yaml'), ['stages.0.steps=7']).stages[0].steps == 7
    if kind == 'object':
        stage = StageConfig(name='one', data=DataConfig(files=('train',)))
        assert make_config(TrainConfig(out='run', start=made.start, stages=(stage,))).out == 'run'


@pytest.mark.parametrize(
    ('config', 'settings', 'message'),
    [
        ({'out': 'run'}, (), 'expected also the keys start, stages'),
        ({'output': 'run'}, (), 'output: no key of a training configuration; did you mean'),
        (7, (), 'config: expected a TrainConfig, a dictionary or a YAML file, got int'),
        ({'out': 'run'}, ('seed=1',), 'settings: expected a YAML file with them'),
        ('none.yaml', (), r'none\.yaml: expected a YAML file of a run'),
    ],
)
def test_wrong_configurations_are_errors(config: Any, settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config, settings)


@pytest.mark.parametrize(
    ('benchmark', 'settings', 'message'),
    [
        ('tabeltop', {}, 'tabeltop: no benchmark; did you mean tabletop'),
        ('tabletop', {'limt': 3}, 'limt: no argument of evaluate; did you mean limit'),
        ('tabletop', {'limit': -1}, 'argument --limit'),
        ('tabletop', {'scoring': 'mine'}, 'argument --scoring: invalid choice'),
        (
            'tabletop',
            {'instructsam.engin': 'eager'},
            r'instructsam\.engin: no argument of evaluate; did you mean instructsam\.engine',
        ),
        ('tabletop', {'checkpoint': 'other'}, 'checkpoint: expected it as model, the first argument'),
        ('tabletop', {'split': 'dev'}, 'split: expected one of'),
    ],
)
def test_wrong_arguments_are_errors(benchmark: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(GOLDEN / 'checkpoint', benchmark, GOLDEN, **settings)


def test_arguments_of_wrong_types_are_named() -> None:
    with pytest.raises(ConfigError, match=r"settings: expected a list of key=value, got the text 'steps=1'"):
        train('run.yaml', 'steps=1')
    wrong: Any = 3
    with pytest.raises(ConfigError, match='model: expected a checkpoint or a segmenter, got int'):
        evaluate(wrong, 'coco', 'x.json')
    with pytest.raises(ConfigError, match='benchmark: expected its name, got int'):
        evaluate('embedded', wrong, 'x.json')


def test_missing_checkpoint_is_an_error(example: Example, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='no such folder'):
        evaluate(tmp_path / 'none', 'tabletop', example.folder / 'data' / 'mugs', out=tmp_path / 'out')
