"""An evaluation file through the running node, on the golden pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_ros.tools.client import PeerError
from instructsam_ros.tools.replay import Question, Result, read_questions, summarize
from tests.support import ROOT

GOLDEN = ROOT / 'tests' / 'golden'


def run_replay(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'instructsam_ros.tools.replay', '--checkpoint', str(GOLDEN / 'checkpoint'), *arguments],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'model')])},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """The first of the golden pictures, with two of its questions: one with an object and one without."""
    [first, *_] = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
    first['annotation'] = [first['annotation'][0], first['annotation'][-1]]
    file = tmp_path / 'truth.json'
    file.write_text(json.dumps([first]))
    return file


def test_asks_the_real_model_over_dds(truth: Path, tmp_path: Path):
    finished = run_replay('--truth', str(truth), '--images', str(GOLDEN), '--out', str(tmp_path / 'out'))
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout.splitlines()[-1])
    assert (summary['questions'], summary['pictures'], summary['instances']) == (2, 1, 1)
    assert summary['mean_iou'] > 0.8  # of 000.png: 0.71 for the red ball, 1 for the cone that is not there
    assert 'red ball' in finished.stdout
    for number in range(2):
        assert cv2.imread(str(tmp_path / 'out' / f'{number:03d}_000.png')).shape == (240, 320, 3)


def test_says_what_went_wrong():
    finished = run_replay('--truth', 'nowhere.json')
    assert finished.returncode == 1
    assert "'nowhere.json' is not an evaluation file" in finished.stderr
    assert 'Traceback' not in finished.stderr


def test_reads_the_questions_and_unites_the_masks():
    questions = read_questions(GOLDEN / 'eval_inst2seg.json', GOLDEN)
    assert len(questions) == 25
    assert all(question.image.is_file() for question in questions)
    assert [question.truth.any() for question in questions[:4]] == [True, True, True, False]
    green_balls = next(question for question in questions if question.text == "Please segment 'green ball'.")
    count, _ = cv2.connectedComponents(green_balls.truth.astype(np.uint8))
    assert count - 1 == 2


@pytest.mark.parametrize('text', ['', '[]]', '{"a": 1}', '[{"image": "a.png"}]'])
def test_another_file_is_refused(tmp_path: Path, text: str):
    file = tmp_path / 'truth.json'
    file.write_text(text)
    with pytest.raises(PeerError, match='not an evaluation file in the Inst2Seg format'):
        read_questions(file, tmp_path)


def test_sums_up():
    mask = np.ones((2, 2), dtype=np.bool_)
    instance = Instance(mask, np.array((0, 0, 2, 2), dtype=np.float32), 0.9)
    question = Question(Path('a.png'), 'a', mask)
    found = Segmentation((instance,), Instruction('a'), '', (2, 2))
    missed = Segmentation((), Instruction('a'), '', (2, 2))
    results = [Result(question, found, 1.0, 0.1), Result(question, missed, 0.0, 0.3)]
    summary = summarize(results, ready_s=1.0, total_s=2.0)
    assert (summary['mean_iou'], summary['instances'], summary['iou_above_half']) == (0.5, 1, 1)
    assert (summary['latency_p50_ms'], summary['pictures']) == (200.0, 1)
