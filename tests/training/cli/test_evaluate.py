"""instructsam-eval on the golden checkpoint.

Covers evaluation.command, evaluation.arguments and evaluation.run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.backends import BUILT_IN
from instructsam_training.cli.evaluate import main
from tests.support import ROOT

GOLDEN = ROOT / 'tests' / 'golden'
ENVIRONMENT = {**os.environ, 'PYTHONPATH': f'{ROOT / "model"}:{ROOT / "training"}', 'OMP_NUM_THREADS': '1'}
MODULE = 'instructsam_training.cli.evaluate'
TWO = ['torch.distributed.run', '--standalone', '--nproc_per_node', '2']  # `accelerate launch` starts one on a CPU
COUNT = 6
COLUMN_MASK = {'size': [240, 320], 'counts': [0, 240, 240 * 319]}


def command(data: Path, out: Path, *more: str) -> list[str]:
    choices = ['--data', str(data), '--images', str(GOLDEN), '--out', str(out)]
    model = ['--checkpoint', str(GOLDEN / 'checkpoint'), '--device', 'cpu']
    return ['tabletop', *choices, *model, '--limit', str(COUNT), *more]


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / 'report.json').read_text())


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden queries, each with a kind."""
    records = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
    for record in records:
        for entry in record['annotation']:
            entry['kind'] = 'attribute' if entry.get('mask') else 'no-target'
    folder = tmp_path_factory.mktemp('data')
    (folder / 'inst2seg.json').write_text(json.dumps(records))
    return folder


@pytest.fixture(scope='module')
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation that was not interrupted."""
    out = tmp_path_factory.mktemp('whole')
    assert main(command(data, out)) == 0
    return out


def test_report_of_the_golden_checkpoint(whole: Path) -> None:
    report = report_of(whole)
    assert (report['queries'], report['scored'], report['images'], report['skipped']) == (COUNT, COUNT, 2, [])
    assert report['overall']['gIoU'] > 0.5
    assert (report['settings']['backend'], report['settings']['options']) == ('instructsam', {})
    assert 'back end instructsam' in (whole / 'report.html').read_text()
    assert {name: row['queries'] for name, row in report['strata']['kind'].items()} == {
        'attribute': 5, 'no-target': 1
    }  # fmt: skip
    assert report['strata']['targets']['0']['gIoU'] == 1.0
    speed = json.loads((whole / 'speed.json').read_text())
    assert 0 < speed['seconds']['p50'] <= speed['seconds']['p95']
    assert speed['stages'].keys() == {'encode', 'answer', 'ground', 'postprocess'}
    assert speed['peak_memory_gib'] > 0.1
    assert (whole / 'report.html').read_text().count('<img') == COUNT


def test_killed_run_is_resumed(data: Path, whole: Path, tmp_path: Path) -> None:
    predictions = tmp_path / 'predictions-0.jsonl'
    process = subprocess.Popen(
        [sys.executable, '-m', MODULE, *command(data, tmp_path)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    try:
        while not predictions.exists() or predictions.read_bytes().count(b'\n') < 2:
            assert process.poll() is None
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    first = predictions.read_bytes()
    assert first.count(b'\n') < COUNT
    with predictions.open('ab') as stream:
        stream.write(b'{"id": "1.')
    assert main(command(data, tmp_path)) == 0
    assert predictions.read_bytes().startswith(first)
    assert predictions.read_bytes().count(b'\n') == COUNT
    assert (tmp_path / 'report.json').read_bytes() == (whole / 'report.json').read_bytes()


def test_two_processes_give_the_same_report(data: Path, whole: Path, tmp_path: Path) -> None:
    launch = [sys.executable, '-m', *TWO, '-m', MODULE, *command(data, tmp_path)]
    subprocess.run(launch, env=ENVIRONMENT, check=True, capture_output=True)
    assert [len(file.read_bytes().splitlines()) for file in sorted(tmp_path.glob('predictions-*'))] == [4, 2]
    assert (tmp_path / 'report.json').read_bytes() == (whole / 'report.json').read_bytes()


def test_predictions_file_gives_the_same_report(data: Path, whole: Path, tmp_path: Path) -> None:
    arguments = ['tabletop', '--data', str(data), '--limit', str(COUNT), '--out', str(tmp_path)]
    assert main([*arguments, '--predictions', str(whole / 'predictions-0.jsonl')]) == 0
    report, expected = report_of(tmp_path), report_of(whole)
    assert {**report, 'settings': expected['settings']} == expected


def test_run_with_other_instructions_is_not_resumed(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = command(data, whole, '--shuffle-instructions', '1')
    before = (whole / 'predictions-0.jsonl').read_bytes()
    assert main(shuffled) == 2
    assert 'has predictions of a run that differs in shuffle_seed, queries;' in capsys.readouterr().err
    assert (whole / 'predictions-0.jsonl').read_bytes() == before
    assert main(command(data, tmp_path, '--shuffle-instructions', '1')) == 0
    assert report_of(tmp_path)['overall']['gIoU'] < report_of(whole)['overall']['gIoU'] / 2


def test_run_with_other_image_sizes_is_not_resumed(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = ['--instructsam.sam3_size', '112', '--instructsam.max_pixels', '16384']
    assert main(command(data, whole, *smaller)) == 2
    assert (
        'has predictions of a run that differs in instructsam.sam3_size, instructsam.max_pixels;'
        in capsys.readouterr().err
    )
    assert main(command(data, tmp_path, *smaller)) == 0
    assert report_of(tmp_path)['overall'] != report_of(whole)['overall']


def test_missing_images_are_listed_and_retried(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    shutil.copy(GOLDEN / 'images' / '000.png', images)
    arguments = command(data, tmp_path / 'out', '--images', str(tmp_path))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert '1 of 2 images cannot be used, with 2 of 6 queries; ' in error
    assert 'expected an image, found no such file' in error
    assert not (tmp_path / 'out').exists()
    assert main([*arguments, '--max-skipped', '0.5']) == 1
    report = report_of(tmp_path / 'out')
    assert report['scored'] == 4
    assert [line.partition(':')[0] for line in report['skipped']] == ['1.0', '1.1']
    assert '001.png: expected an image, found no such file' in report['skipped'][0]
    shutil.copy(GOLDEN / 'images' / '001.png', images)
    assert main(arguments) == 0
    assert report_of(tmp_path / 'out') == report_of(whole)


@pytest.mark.parametrize(
    ('content', 'more', 'message'),
    [
        ('[]', [], 'expected records, found an empty list'),
        ('[{"image": "a.png"}]', [], 'expected queries of tabletop test, found none; the first that was skipped'),
        ('[', [], 'expected JSON, found something else'),
        ('[]', ['--split', 'dev'], "split: expected one of test of tabletop, got 'dev'"),
        ('[]', ['--data', str(GOLDEN)], 'expected it to hold inst2seg.json'),
    ],
)
def test_unusable_data_is_an_error(
    tmp_path: Path, content: str, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'inst2seg.json').write_text(content)
    assert main(command(tmp_path, tmp_path / 'out', *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_queries_are_written_to_a_file(data: Path, tmp_path: Path) -> None:
    file = tmp_path / 'queries.jsonl'
    assert main(['tabletop', '--data', str(data), '--write-queries', str(file)]) == 0
    assert len(file.read_text().splitlines()) == 25


def test_predictions_are_reused_for_another_scoring(data: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / 'copy')
    before = (whole / 'predictions-0.jsonl').read_bytes()
    assert main(command(data, tmp_path / 'copy', '--scoring', 'released', '--min-score', '0.9')) == 0
    assert (tmp_path / 'copy' / 'predictions-0.jsonl').read_bytes() == before
    assert report_of(tmp_path / 'copy')['settings']['scoring'] == 'released'


def test_run_without_an_earlier_option_is_not_resumed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(data, tmp_path, '--limit', '1', '--instructsam.inference_mode', 'released')) == 0
    assert report_of(tmp_path)['settings']['options'] == {'instructsam.inference_mode': 'released'}
    assert main(command(data, tmp_path, '--limit', '1')) == 2
    assert 'differs in instructsam.inference_mode;' in capsys.readouterr().err


def test_help_does_not_import_torch() -> None:
    code = f"""
import sys
from {MODULE} import main
try:
    main(['--help'])
except SystemExit:
    print(sorted({{'torch', 'transformers', 'accelerate'}} & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, '-c', code], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    assert '--scoring {authors,released}' in result.stdout
    assert result.stdout.splitlines()[-1] == '[]'


OTHER_BACKEND = """
from dataclasses import dataclass
from instructsam_model.backends import Backend
from instructsam_model.datatypes import Segmentation
from instructsam_model.options import Options, option

@dataclass(frozen=True)
class EmptyOptions(Options):
    word: str = option('nothing', 'Text of every result.')

class EmptySegmenter:
    def __init__(self, word):
        self.word = word
    def segment(self, frame, instruction, selection=None, **_):
        return Segmentation((), instruction, f'{self.word}: {instruction.text}', frame.size_wh)
    def memory_bytes(self):
        return None
    def close(self):
        print('closed')

BACKEND = Backend(
    name='empty', description='Finds nothing.', options=EmptyOptions,
    matches=lambda source: source.config.get('model_type') == 'empty',
    load=lambda source, settings, options: EmptySegmenter(options.word),
)
"""


def test_any_backend_is_evaluated_and_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'empty_backend.py').write_text(OTHER_BACKEND)
    (tmp_path / 'config.json').write_text('{"model_type": "empty"}')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BUILT_IN, 'empty', 'empty_backend:BACKEND')
    out = tmp_path / 'out'
    arguments = ['tabletop', '--data', str(data), '--images', str(GOLDEN), '--out', str(out), '--limit', str(COUNT)]
    model = ['--checkpoint', str(tmp_path), '--device', 'cpu', '--empty.word', 'none']
    assert main([*arguments, *model]) == 0
    printed = capsys.readouterr().out
    assert 'closed' in printed
    assert f'tabletop test: {COUNT} of {COUNT} queries on 2 images, 1 without a target, back end empty' in printed
    settings = report_of(out)['settings']
    assert (settings['backend'], settings['options']) == ('empty', {'empty.word': 'none'})
    assert report_of(out)['overall']['N-acc'] == 1.0
    assert 'back end empty' in (out / 'report.html').read_text()
    # `--prompt unchanged`: the names in the file of ReasonSeg get no prompt.
    record = {'image': 'images/000.png', 'question': 'Cup', 'is_sentence': False, 'mask': COLUMN_MASK}
    (tmp_path / 'reason_seg_val.json').write_text(json.dumps([record]))
    reasonseg = ['reasonseg', '--data', str(tmp_path), '--images', str(GOLDEN), '--out', str(tmp_path / 'reasonseg')]
    assert main([*reasonseg, *model, '--prompt', 'unchanged']) == 0
    assert json.loads((tmp_path / 'reasonseg' / 'predictions-0.jsonl').read_text())['text'] == 'none: Cup'
    assert main([*arguments, *model, '--backend', 'instructsam']) == 2
    assert 'empty.word: expected an option of instructsam' in capsys.readouterr().err
