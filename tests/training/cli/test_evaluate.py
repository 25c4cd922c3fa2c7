"""instructsam-eval on the golden checkpoint: killed, resumed, in two processes, and with data that is not right."""

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

from instructsam_training.cli.evaluate import main
from tests.support import ROOT

GOLDEN = ROOT / 'tests' / 'golden'
ENVIRONMENT = {**os.environ, 'PYTHONPATH': f'{ROOT / "model"}:{ROOT / "training"}', 'OMP_NUM_THREADS': '1'}
MODULE = 'instructsam_training.cli.evaluate'
TWO = ['torch.distributed.run', '--standalone', '--nproc_per_node', '2']  # `accelerate launch` starts one on a CPU
COUNT = 6


def command(data: Path, out: Path, *more: str) -> list[str]:
    choices = ['--data', str(data), '--images', str(GOLDEN), '--out', str(out)]
    model = ['--checkpoint', str(GOLDEN / 'checkpoint'), '--device', 'cpu']
    return ['tabletop', *choices, *model, '--limit', str(COUNT), *more]


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / 'report.json').read_text())


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden questions, with kinds."""
    records = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
    for record in records:
        for entry in record['annotation']:
            entry['kind'] = 'attribute' if entry.get('mask') else 'no-target'
    folder = tmp_path_factory.mktemp('data')
    (folder / 'inst2seg.json').write_text(json.dumps(records))
    return folder


@pytest.fixture(scope='module')
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation that nothing has disturbed."""
    out = tmp_path_factory.mktemp('whole')
    assert main(command(data, out)) == 0
    return out


def test_the_checkpoint_answers_what_it_has_learnt(whole: Path) -> None:
    report = report_of(whole)
    assert (report['questions'], report['answered'], report['pictures'], report['skipped']) == (COUNT, COUNT, 2, [])
    assert report['overall']['gIoU'] > 0.5
    assert {name: row['questions'] for name, row in report['strata']['kind'].items()} == {
        'attribute': 5, 'no-target': 1
    }  # fmt: skip
    assert report['strata']['targets']['0']['gIoU'] == 1.0
    speed = json.loads((whole / 'speed.json').read_text())
    assert 0 < speed['seconds']['p50'] <= speed['seconds']['p95']
    assert speed['stages'].keys() == {'encode', 'answer', 'ground', 'postprocess'}
    assert speed['peak_memory_gib'] > 0.1
    assert (whole / 'report.html').read_text().count('<img') == COUNT


def test_killed_and_resumed(data: Path, whole: Path, tmp_path: Path) -> None:
    answers = tmp_path / 'answers-0.jsonl'
    process = subprocess.Popen(
        [sys.executable, '-m', MODULE, *command(data, tmp_path)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    try:
        while not answers.exists() or answers.read_bytes().count(b'\n') < 2:
            assert process.poll() is None
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    first = answers.read_bytes()
    assert first.count(b'\n') < COUNT
    with answers.open('ab') as stream:
        stream.write(b'{"id": "1.')
    assert main(command(data, tmp_path)) == 0
    assert answers.read_bytes().startswith(first)
    assert answers.read_bytes().count(b'\n') == COUNT
    assert (tmp_path / 'report.json').read_bytes() == (whole / 'report.json').read_bytes()


def test_two_processes(data: Path, whole: Path, tmp_path: Path) -> None:
    launch = [sys.executable, '-m', *TWO, '-m', MODULE, *command(data, tmp_path)]
    subprocess.run(launch, env=ENVIRONMENT, check=True, capture_output=True)
    assert [len(file.read_bytes().splitlines()) for file in sorted(tmp_path.glob('answers-*'))] == [4, 2]
    assert (tmp_path / 'report.json').read_bytes() == (whole / 'report.json').read_bytes()


def test_an_answers_file_scores_as_its_run(data: Path, whole: Path, tmp_path: Path) -> None:
    arguments = ['tabletop', '--data', str(data), '--limit', str(COUNT), '--out', str(tmp_path)]
    assert main([*arguments, '--predictions', str(whole / 'answers-0.jsonl')]) == 0
    report, expected = report_of(tmp_path), report_of(whole)
    assert {**report, 'setting': expected['setting']} == expected


def test_another_instruction_is_another_run(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = command(data, whole, '--shuffle-instructions', '1')
    before = (whole / 'answers-0.jsonl').read_bytes()
    assert main(shuffled) == 2
    assert 'holds answers of a run that differs in shuffle, questions' in capsys.readouterr().err
    assert (whole / 'answers-0.jsonl').read_bytes() == before
    assert main(command(data, tmp_path, '--shuffle-instructions', '1')) == 0
    assert report_of(tmp_path)['overall']['gIoU'] < report_of(whole)['overall']['gIoU'] / 2


def test_other_image_sizes_are_another_run(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = ['--instructsam.sam3_size', '112', '--instructsam.max_pixels', '16384']
    assert main(command(data, whole, *smaller)) == 2
    assert 'holds answers of a run that differs in max_pixels, sam3_size;' in capsys.readouterr().err
    assert main(command(data, tmp_path, *smaller)) == 0
    assert report_of(tmp_path)['overall'] != report_of(whole)['overall']


def test_missing_pictures_are_listed_and_asked_about_again(data: Path, whole: Path, tmp_path: Path) -> None:
    pictures = tmp_path / 'images'
    pictures.mkdir()
    shutil.copy(GOLDEN / 'images' / '000.png', pictures)
    arguments = command(data, tmp_path / 'out', '--images', str(tmp_path))
    assert main(arguments) == 1
    report = report_of(tmp_path / 'out')
    assert report['answered'] == 4
    assert [line.partition(':')[0] for line in report['skipped']] == ['1.0', '1.1']
    assert '001.png: expected an image, found no such file' in report['skipped'][0]
    shutil.copy(GOLDEN / 'images' / '001.png', pictures)
    assert main(arguments) == 0
    assert report_of(tmp_path / 'out') == report_of(whole)


@pytest.mark.parametrize(
    ('content', 'more', 'message'),
    [
        ('[]', [], 'expected records, found an empty list'),
        ('[{"image": "a.png"}]', [], 'expected questions of tabletop test, found none; the first that was skipped'),
        ('[', [], 'expected JSON, found something else'),
        ('[]', ['--split', 'dev'], "split: expected one of test of tabletop, got 'dev'"),
        ('[]', ['--data', str(GOLDEN)], 'expected it to hold inst2seg.json'),
    ],
)
def test_nothing_to_score(
    tmp_path: Path, content: str, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'inst2seg.json').write_text(content)
    assert main(command(tmp_path, tmp_path / 'out', *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_questions_for_others(data: Path, tmp_path: Path) -> None:
    file = tmp_path / 'questions.jsonl'
    assert main(['tabletop', '--data', str(data), '--questions', str(file)]) == 0
    assert len(file.read_text().splitlines()) == 25
