"""A run is resumed with what it was started with, or says what differs and stops.

Covers engine/run_record.py, engine/fingerprint.py, engine/environment.py and config/settings.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from instructsam_model import ConfigError
from instructsam_training.config.config_file import read_config
from instructsam_training.config.options import TrainConfig
from instructsam_training.config.settings import default_settings
from instructsam_training.engine.environment import code_commit, hash_code
from instructsam_training.engine.fingerprint import fingerprint
from instructsam_training.engine.resumption import open_record
from instructsam_training.engine.run_lock import RunLock
from instructsam_training.engine.run_record import RunStart, read_starts
from tests.support.small_run import GOLDEN, write_run


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """A run of two stages with a copy of the data and of the initial checkpoint."""
    (tmp_path / 'data').mkdir()
    shutil.copy(GOLDEN / 'train.json', tmp_path / 'data')
    shutil.copytree(GOLDEN / 'checkpoint', tmp_path / 'checkpoint', ignore=shutil.ignore_patterns('*.md'))
    return write_run(tmp_path, 'one', 'two')


@pytest.fixture
def config(run_file: Path) -> TrainConfig:
    return read(run_file)


def read(run_file: Path, *settings: str, folder: Path | None = None) -> TrainConfig:
    folder = folder or run_file.parent
    data = [f'stages.{number}.data.folder={folder / "data"}' for number in (0, 1)]
    return read_config(run_file, [*data, f'start.checkpoint={run_file.parent / "checkpoint"}', *settings])


def begin(config: TrainConfig, stage: str = 'one', *, finished: bool = False) -> None:
    """Leave the files of a stage that has begun."""
    state = Path(config.out) / stage / 'states' / 'step-00000002'
    state.mkdir(parents=True)
    (state / 'state.json').write_text('{"step": 2}')
    if finished:
        (Path(config.out) / stage / 'merged').mkdir()


def start(config: TrainConfig, *override: str, processes: int = 1, device: str = 'cpu') -> tuple[RunStart, str]:
    """Start the run; its record, and what was printed."""
    printed = StringIO()
    with RunLock(Path(config.out)) as lock:
        open_record(config, device, processes, override, Console(file=printed, width=1000), lock)
    return read_starts(Path(config.out))[-1], printed.getvalue()


def test_record_has_settings_data_weights_versions_and_code(config: TrainConfig) -> None:
    record, printed = start(config)
    assert not printed
    assert (record.settings['seed'], record.settings['stages.1.lora.rank']) == (42, 4)
    assert record.settings.keys() == default_settings(2).keys()
    [file] = record.data['one'].values()
    assert file['bytes'] == (GOLDEN / 'train.json').stat().st_size
    # As printed by sha256sum.
    digest = subprocess.run(['sha256sum', GOLDEN / 'train.json'], capture_output=True, text=True, check=True).stdout
    assert file['sha256'] == digest.split()[0]
    assert {'checkpoint/model.safetensors', 'checkpoint/config.json'} <= record.start.keys()
    assert {'python', 'torch', 'transformers', 'accelerate', 'peft'} <= record.versions.keys()
    assert (record.device, record.processes, record.done) == ('cpu', 1, {})
    # The resolved configuration is a file of the same run.
    assert read_config(Path(config.out) / 'config.yaml') == config


def test_code_is_known_with_and_without_git(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('a')
    before = hash_code((tmp_path,))
    (tmp_path / 'a.md').write_text('a')
    assert hash_code((tmp_path,)) == before
    (tmp_path / 'a.py').write_text('b')
    assert hash_code((tmp_path,)) != before
    assert code_commit(tmp_path) == ''
    git = ['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=a@example.com']
    for command in (['init', '-q'], ['add', 'a.py'], ['commit', '-qm', 'a']):
        subprocess.run([*git, *command], check=True)
    assert len(code_commit(tmp_path)) == 40
    (tmp_path / 'a.py').write_text('c')
    assert code_commit(tmp_path).endswith('+')


def test_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / 'a'
    file.write_text('a')
    known = fingerprint([file])
    known['a']['sha256'] = 'kept'
    assert fingerprint([file], known.values())['a']['sha256'] == 'kept'
    file.write_text('bb')
    assert fingerprint([file], known.values())['a']['sha256'] != 'kept'


def test_same_run_is_resumed_and_its_starts_are_kept(config: TrainConfig) -> None:
    start(config)
    begin(config)
    record, printed = start(config)
    assert not printed
    assert record.done == {'one': 2}
    assert len(read_starts(Path(config.out))) == 2


@pytest.mark.parametrize(
    ('setting', 'difference', 'override'),
    [
        ('seed=7', 'seed: 42 -> 7', 'seed'),
        ('stages.0.rates.llm=0.01', 'stages.0.rates.llm: 0.001 -> 0.01', 'stages.0.rates'),
        ('stages.0.losses.points=null', 'stages.0.losses.points: 256 -> null', 'stages.0.losses.points'),
        ('stages.0.data.conversation.kinds=[phrase]', '"OCR", "caption"] -> ["phrase"]', 'stages.0.data.conversation'),
    ],
)
def test_setting_that_changes_results_must_be_overridden(
    config: TrainConfig, run_file: Path, setting: str, difference: str, override: str
) -> None:
    start(config)
    begin(config)
    changed = read(run_file, setting)
    record = Path(config.out, 'run.json').read_bytes()
    with pytest.raises(ConfigError, match=f'--override {setting.partition("=")[0]}$') as caught:
        start(changed)
    assert difference in str(caught.value)
    assert Path(config.out, 'run.json').read_bytes() == record
    again, printed = start(changed, override)
    assert difference in printed
    assert (again.overridden, len(again.changes)) == ([override], 1)
    # The new values are those of the run from now on.
    assert start(changed)[1] == ''


def test_changed_data_and_weights_must_be_overridden_but_may_move(config: TrainConfig, run_file: Path) -> None:
    start(config)
    begin(config)
    folder = run_file.parent
    (folder / 'elsewhere').mkdir()
    (folder / 'data').rename(folder / 'elsewhere' / 'data')
    moved = read(run_file, folder=folder / 'elsewhere')
    _, printed = start(moved)
    assert printed.count('stages.0.data.folder') == 1
    with (folder / 'elsewhere' / 'data' / 'train.json').open('a') as file:
        file.write('\n')
    with pytest.raises(ConfigError, match=r'data of one: train\.json: changed \([\d,]+ -> [\d,]+ bytes\)'):
        start(moved)
    start(moved, 'data')


def test_changed_initial_weights_versions_and_code_must_be_overridden(config: TrainConfig) -> None:
    first, _ = start(config)
    start_two = replace(config, stages=(config.stages[0],))
    begin(config)
    file = Path(config.out, 'run.json')
    content = json.loads(file.read_text())
    content['starts'][0]['versions']['torch'] = '1.0'
    content['starts'][0] |= {'code': 'other', 'commit': '1ec37cc'}
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r'--override versions code$') as caught:
        start(config)
    assert f'versions: torch 1.0 -> {first.versions["torch"]}' in str(caught.value)
    assert 'code: other Python files (1ec37cc -> ' in str(caught.value)
    start(start_two, 'versions', 'code')


def test_stage_that_has_not_begun_may_change_and_other_processes_may_resume(
    config: TrainConfig, run_file: Path
) -> None:
    start(config)
    begin(config)
    record, printed = start(read(run_file, 'stages.1.rates.llm=0.01', 'stages.0.save_every=1'), processes=2)
    assert [line.partition(': ')[2].partition(';')[0] for line in printed.splitlines()] == [
        'stages.0.save_every: 2 -> 1',
        'stages.1.rates.llm: 0.001 -> 0.01',
        'processes: 1 -> 2',
    ]
    assert 'the micro-batches of each step and their random numbers stay the same' in printed
    assert len(record.changes) == 3


def test_finished_run_with_other_settings_is_an_error_that_no_override_allows(
    config: TrainConfig, run_file: Path
) -> None:
    start(config)
    for stage in ('one', 'two'):
        begin(config, stage, finished=True)
    starts = len(read_starts(Path(config.out)))
    assert start(config)[1] == ''
    assert len(read_starts(Path(config.out))) == starts
    # Its data and initial weights are not needed any more, and nothing depends on the number of processes.
    shutil.rmtree(run_file.parent / 'data')
    shutil.rmtree(run_file.parent / 'checkpoint')
    start(read(run_file, 'stages.0.data.workers=1'), processes=2)
    with pytest.raises(ConfigError, match=r'two was finished with other settings:\n  stages\.1\.steps: 6 -> 7\nchoose'):
        start(read(run_file, 'stages.1.steps=7'), 'stages.1.steps')
    with pytest.raises(ConfigError, match=r'the run was finished with other settings:\n  seed: 42 -> 1'):
        start(read(run_file, 'seed=1'), 'seed')


def test_stage_can_be_added_to_a_finished_run(config: TrainConfig, run_file: Path) -> None:
    one = replace(config, stages=config.stages[:1])
    start(one)
    begin(one, finished=True)
    assert start(config)[1] == 'differs from the start before: stages.1: new stage two\n'


def test_run_without_a_checkpoint_may_start_with_other_settings(config: TrainConfig, run_file: Path) -> None:
    start(config)
    assert 'seed: 42 -> 7' in start(read(run_file, 'seed=7'))[1]


def test_run_of_an_earlier_version_is_resumed_with_a_warning(config: TrainConfig) -> None:
    begin(config)
    record, printed = start(config)
    assert printed.startswith('warning: ')
    assert 'has no run.json' in printed
    assert record.done == {'one': 2}


def test_overridden_keys_must_exist_and_a_damaged_record_is_named(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r'^sed: no setting to override; did you mean seed'):
        start(config, 'sed')
    start(config)
    Path(config.out, 'run.json').write_text('{')
    with pytest.raises(ConfigError, match=r'run\.json: expected the record of a run'):
        start(config)


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path: Path) -> Iterator[None]:
    """The record is written atomically: no draft is left."""
    yield
    assert not [*tmp_path.rglob('.*.part')]
