"""Evaluation through the running node has the same predictions as evaluation without the node."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from instructsam_model.masks import decode_rle
from tests.support import ROOT

GOLDEN = ROOT / 'tests' / 'golden'
# The number of threads affects the last bits of sums, so use one thread with and without the node.
ENVIRONMENT = {
    **os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT / "model"}:{ROOT / "training"}', 'OMP_NUM_THREADS': '1'
}  # fmt: skip
COUNT = 14


def command(module: str, data: Path, out: Path, *more: str) -> list[str]:
    arguments = ['roborefit', '--data', str(data), '--split', 'testA', '--out', str(out), '--device', 'cpu']
    checkpoint = ['--checkpoint', str(GOLDEN / 'checkpoint'), '--prompt', 'plain']
    return [sys.executable, '-m', module, *arguments, *checkpoint, *more]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=900)


def child_of(pid: int) -> int:
    [child] = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return int(child)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden images in the layout of RoboRefIt's release."""
    root = tmp_path_factory.mktemp('data')
    folder = root / 'final_dataset' / 'testA'
    records = []
    for number, golden in enumerate(json.loads((GOLDEN / 'eval_roborefit.json').read_text())):
        stem = f'{Path(golden["image"]).stem:>07}'
        for name in ('image', f'mask/{stem}'):
            (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(GOLDEN / golden['image'], folder / 'image' / f'{stem}.png')
        mask = Image.fromarray(decode_rle(golden['masks']).astype('u1') * 128)
        mask.convert('RGB').save(folder / 'mask' / stem / f'{number}.png')
        records.append({
            'num': number, 'text': golden['question'], 'bbox': [0, 0, 320, 240], 'scene': 'table', 'class': 'thing',
            'rgb_path': f'final_dataset\\testA\\image\\{stem}.png',
            'depth_path': f'final_dataset\\testA\\depth\\{stem}.png',
            'mask_path': f'final_dataset\\testA\\mask\\{stem}\\{number}.png',
        })  # fmt: skip
    (folder / 'roborefit_testA.json').write_text(json.dumps(records))
    return root


@pytest.fixture(scope='module')
def offline(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation without the node."""
    out = tmp_path_factory.mktemp('offline')
    finished = run(*command('instructsam_training.cli.evaluate', data, out))
    assert finished.returncode == 0, finished.stderr
    return out


def test_evaluation_resumes_after_the_node_was_killed(data: Path, offline: Path, tmp_path: Path) -> None:
    predictions = tmp_path / 'predictions-0.jsonl'
    command_line = command(
        'instructsam_ros.tools.evaluate', data, tmp_path, '--compare', str(offline), '--timeout', '300'
    )
    process = subprocess.Popen(command_line, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not predictions.exists() or predictions.read_bytes().count(b'\n') < 2:
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(child_of(process.pid), signal.SIGKILL)
        _, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 2
    assert '-m instructsam_ros.node.segmenter_node ended with status -9' in stderr
    assert 'Traceback' not in stderr
    first = predictions.read_bytes()
    assert first.count(b'\n') < COUNT

    finished = run(*command_line)
    assert finished.returncode == 0, finished.stderr
    assert predictions.read_bytes().startswith(first)
    comparison = json.loads(finished.stdout.splitlines()[-1])
    assert (comparison['queries'], comparison['different'], comparison['largest_score_difference']) == (COUNT, 0, 0.0)
    assert (tmp_path / 'report.json').read_bytes() == (offline / 'report.json').read_bytes()
    assert json.loads((offline / 'report.json').read_text())['overall']['mIoU'] > 0.5
    speed = json.loads((tmp_path / 'speed.json').read_text())
    assert (speed['queries'], speed['stages']) == (COUNT, {})
    assert speed['peak_memory_gib'] > 0.1


def test_invalid_arguments_end_with_an_error(data: Path, offline: Path, tmp_path: Path) -> None:
    refused = run(*command('instructsam_ros.tools.evaluate', data, offline))
    assert refused.returncode == 2
    assert 'has predictions of a run that differs in command' in refused.stderr
    nowhere = run(*command('instructsam_ros.tools.evaluate', data, tmp_path, '--split', 'val'))
    assert nowhere.returncode == 2
    assert 'python -m instructsam_ros.tools.evaluate: error: split: expected one of testA, testB' in nowhere.stderr
