"""Settings that would do nothing, or not what they say, are errors; settings without effect are named.

Covers config.yaml_file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_training.config.config_file import read_config
from instructsam_training.config.consistency import check_processes, find_unused
from tests.support import ROOT

ZERO_RATES = '{llm: 0, projector: 0, vision: 0, decoder: 0}'


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ('stages.0.steps=0 stages.0.epochs=0', r'stages\.0\.epochs: expected more than 0, or steps of at least 1'),
        (f'stages.0.rates={ZERO_RATES}', r'stages\.0\.rates: expected one above 0 of llm, .*nothing would be trained'),
        # SAM3 is not used in this objective.
        (
            'stages.0.objective=language_model stages.0.rates={llm: 0, projector: 0, decoder: 1.0e-3}',
            r'rates: expected one above 0 of llm, llm_body, projector, vision, which objective language_model',
        ),
        (
            'stages.0.objective=dense',
            r'stages\.0\.losses: expected one above 0 of location, which objective dense uses',
        ),
        ('stages.0.objective=language_model stages.0.losses={text: 0}', r'stages\.0\.losses: .*of text'),
        ('stages.0.micro_batch=3', r'stages\.0\.global_batch: expected a multiple of micro_batch 3, got 4'),
        (
            'stages.0.init_queries_from_sam3=true stages.0.objective=language_model',
            r'stages\.0\.init_queries_from_sam3: expected false with objective language_model',
        ),
        ('stages.0.name=', r'stages\.0\.name: expected str, got None'),
        ("stages.0.name=''", r"stages\.0\.name: expected a folder name .*, got ''"),
        ('stages.0.name=a/b', r"stages\.0\.name: expected a folder name .*, got 'a/b'"),
        ('stages.0.name=..', r"stages\.0\.name: expected a folder name .*, got '\.\.'"),
        ('stages.1.name=One', r"stages: expected at least one, of different names, got \['one', 'One'\]"),
        ("out=''", r"out: expected a folder, got ''"),
        ('seed=1 seed=2', r'seed: given twice on the command line'),
        ('seed=[', r"seed: expected a value in YAML, got '\['"),
        ('seed={a: 1, a: 2}', r'seed: expected a value in YAML, .* \(a is given twice'),
        ('stages.-1.steps=3', r'stages\.-1\.steps: expected the path of a setting'),
        ('trackers=[wandb, wandb]', r"trackers: 'wandb' is given twice"),
        ('trackers=[visdom]', r"trackers\.0: expected one of tensorboard, wandb, .*, got 'visdom'"),
        ('stages.0.losses={preset: [paper]}', r"stages\.0\.losses: expected one of paper, released, got \['paper'\]"),
        ('start.qwen=a', r'start: expected either checkpoint, or qwen and sam3'),
        ('start={qwen: a, sam3: b, random: true}', r'start\.random: expected a checkpoint'),
        ('stages.0.data.mixture=a.txt', r'stages\.0\.data\.files: expected either mixture or files, got both'),
        ('stages.0.data.files=[]', r'stages\.0\.data\.files: expected either mixture or files, got neither'),
        ('stages.0.data.files=[a, a]', r"files: 'a' is given twice; a mixture file has repeat counts"),
        ('stages.0.data.max_pixels=1', r'stages\.0\.data\.max_pixels: expected 0, or at least 1024, got 1'),
        ('stages.0.data.conversation.kinds=[OCR, OCR]', r"kinds: 'OCR' is given twice"),
        (
            'stages.0.objective=detector stages.0.data.conversation.kinds=[caption]',
            r'kinds: captions have no masks, which objective detector learns',
        ),
        (
            'stages.0.data.conversation={phrases: [cup], first_phrases: [thing]}',
            r"first_phrases: 'thing' is not one of phrases",
        ),
        ('shard=true stages.0.ema=0.9', r'stages\.0\.ema: expected 0 with shard: true'),
        ('shard=true stages.1.muon=2', r'stages\.1\.muon: expected 0 with shard: true'),
    ],
)
def test_setting_that_would_not_do_what_it_says_is_an_error(run_pair: Path, settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(run_pair, split(settings))


def split(settings: str) -> list[str]:
    """Split `a=1 b={c: 2}` at the spaces before keys."""
    parts: list[str] = []
    for word in settings.split(' '):
        if '=' in word:
            parts.append(word)
        else:
            parts[-1] += f' {word}'
    return parts


@pytest.fixture
def run_pair(run_file: Path) -> Path:
    """A run of two stages in a file that extends another one."""
    file = run_file.with_name('pair.yaml')
    stages = read_config(run_file).stages
    data = f'{{files: [train], folder: {stages[0].data.folder}}}'
    rows = ''.join(f'- {{name: {name}, global_batch: 4, data: {data}}}\n' for name in ('one', 'two'))
    file.write_text(f'extends: run.yaml\nstages:\n{rows}')
    return file


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('out: a\nout: b\n', r'a\.yaml: expected a YAML file of a run, got: out is given twice\n.*line 2'),
        ('extends: a.yaml\n', r'a\.yaml: extends itself'),
        ('a: &a [*a]\n', r'a\.yaml: .*an alias that contains itself'),
        ('a: !!python/object:os.system {}\n', r'a\.yaml: expected a YAML file of a run'),
    ],
)
def test_file_with_a_key_twice_or_that_contains_itself_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / 'a.yaml').write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / 'a.yaml')


def test_every_process_gets_as_many_micro_batches_as_the_others(run_file: Path) -> None:
    config = read_config(run_file)
    check_processes(config, 2)
    with pytest.raises(
        ConfigError, match=r'stages\.0\.global_batch: expected a multiple of micro_batch 2 times 3 processes, got 4'
    ):
        check_processes(config, 3)


@pytest.mark.parametrize(
    ('settings', 'line'),
    [
        ('frozen_float32=true', 'frozen_float32: no effect, because precision is float32'),
        ('log_every=5', 'log_every: no effect, because there are no trackers'),
        ('stages.0.epochs=3', 'one: epochs: no effect, because steps is given'),
        ('stages.0.lora={rank: 0, alpha: 8}', 'one: lora.alpha: no effect, because lora.rank is 0'),
        (
            'stages.0.objective=detector',
            'one: rates.projector, rates.vision: no effect, because objective is detector',
        ),
        (
            'stages.0.objective=language_model stages.0.losses.bce=3 stages.0.rates.decoder=0',
            'one: losses.bce: no effect, because objective is language_model',
        ),
        (
            'stages.0.rates={llm: 0, projector: 0, decoder: 1.0e-3}',
            'one: lora.rank, lora.alpha: no effect, because no weights of the language model train',
        ),
        (
            'stages.0.data.conversation={kinds: [OCR], first_phrases: [thing]}',
            'one: conversation.first_phrases: no effect, because kinds has neither phrase nor sentence',
        ),
    ],
)
def test_setting_without_effect_is_named(run_file: Path, settings: str, line: str) -> None:
    assert find_unused(read_config(run_file)) == []
    assert line in find_unused(read_config(run_file, split(settings)))


def test_adapters_of_all_layers_have_an_effect_without_the_language_model(run_file: Path) -> None:
    settings = 'stages.0.rates={llm: 0, projector: 0, decoder: 1.0e-3} stages.0.lora.layers=all'
    assert find_unused(read_config(run_file, split(settings))) == []


def test_shipped_configurations_of_the_paper_have_no_setting_without_effect() -> None:
    for file in sorted((ROOT / 'training' / 'configs').glob('stage*.yaml')):
        assert find_unused(read_config(file)) == []
