"""A benchmark through the running node: what comes back over DDS is what the network itself answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from instructsam_model.masks import decode_rle

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / 'tests' / 'golden'
# One thread for both, because sums over another number of threads differ in their last bits.
ENVIRONMENT = {
    **os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT / "model"}:{ROOT / "training"}', 'OMP_NUM_THREADS': '1'
}  # fmt: skip
COUNT = 7


def run(module: str, data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = ['roborefit', '--data', str(data), '--split', 'testA', '--out', str(out), '--device', 'cpu']
    checkpoint = ['--checkpoint', str(GOLDEN / 'checkpoint'), '--prompt', 'plain', '--limit', str(COUNT)]
    command = [sys.executable, '-m', module, *arguments, *checkpoint, *more]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)


def offline(data: Path, out: Path) -> None:
    finished = run('instructsam_training.evaluation', data, out)
    assert finished.returncode == 0, finished.stderr


def online(data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run('instructsam_ros.evaluate', data, out, *more)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden pictures in the layout of RoboRefIt's release."""
    root = tmp_path_factory.mktemp('data')
    folder = root / 'final_dataset' / 'testA'
    records = []
    for number, golden in enumerate(json.loads((GOLDEN / 'eval_roborefit.json').read_text())):
        picture = f'{Path(golden["image"]).stem:>07}'
        for name in ('image', f'mask/{picture}'):
            (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(GOLDEN / golden['image'], folder / 'image' / f'{picture}.png')
        mask = Image.fromarray(decode_rle(golden['masks']).astype('u1') * 128)
        mask.convert('RGB').save(folder / 'mask' / picture / f'{number}.png')
        records.append({
            'num': number, 'text': golden['question'], 'bbox': [0, 0, 320, 240], 'scene': 'table', 'class': 'thing',
            'rgb_path': f'final_dataset\\testA\\image\\{picture}.png',
            'depth_path': f'final_dataset\\testA\\depth\\{picture}.png',
            'mask_path': f'final_dataset\\testA\\mask\\{picture}\\{number}.png',
        })  # fmt: skip
    (folder / 'roborefit_testA.json').write_text(json.dumps(records))
    return root


@pytest.fixture(scope='module')
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation without the node."""
    out = tmp_path_factory.mktemp('offline')
    offline(data, out)
    return out


def test_answers_over_dds_are_those_of_the_network(data: Path, whole: Path, tmp_path: Path) -> None:
    finished = online(data, tmp_path, '--compare', str(whole))
    assert finished.returncode == 0, finished.stderr
    agreement = json.loads(finished.stdout.splitlines()[-1])
    assert (agreement['samples'], agreement['differ'], agreement['largest_score_difference']) == (COUNT, 0, 0.0)
    assert (tmp_path / 'report.json').read_bytes() == (whole / 'report.json').read_bytes()
    assert json.loads((tmp_path / 'report.json').read_text())['overall']['mIoU'] > 0.5
