"""The golden images and their annotations through the running node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from instructsam_model import ConfigError, Instance, Instruction, Segmentation
from instructsam_ros.tools.replay import Query, Result, read_queries, summarize
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
def annotations(tmp_path: Path) -> Path:
    """The first golden image with two of its instructions: one with a target and one without."""
    [first, *_] = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
    first['annotation'] = [first['annotation'][0], first['annotation'][-1]]
    file = tmp_path / 'annotations.json'
    file.write_text(json.dumps([first]))
    return file


def test_replay_runs_the_node_over_dds(annotations: Path, tmp_path: Path):
    finished = run_replay('--annotations', str(annotations), '--images', str(GOLDEN), '--out', str(tmp_path / 'out'))
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout.splitlines()[-1])
    assert (summary['queries'], summary['images'], summary['instances']) == (2, 1, 1)
    assert summary['mean_iou'] > 0.8  # of 000.png: 0.71 for the red ball, 1 for the absent cone
    assert 'red ball' in finished.stdout
    for number in range(2):
        assert cv2.imread(str(tmp_path / 'out' / f'{number:03d}_000.png')).shape == (240, 320, 3)


def test_replay_reports_errors_without_a_traceback():
    finished = run_replay('--annotations', 'nowhere.json')
    assert finished.returncode == 1
    assert "'nowhere.json' is not an evaluation file" in finished.stderr
    assert 'Traceback' not in finished.stderr


def test_read_queries_merges_the_masks_of_an_instruction():
    queries = read_queries(GOLDEN / 'eval_inst2seg.json', GOLDEN)
    assert len(queries) == 25
    assert all(query.image.is_file() for query in queries)
    assert [query.mask.any() for query in queries[:4]] == [True, True, True, False]
    green_balls = next(query for query in queries if query.text == "Please segment 'green ball'.")
    count, _ = cv2.connectedComponents(green_balls.mask.astype(np.uint8))
    assert count - 1 == 2


@pytest.mark.parametrize('text', ['', '[]]', '{"a": 1}', '[{"image": "a.png"}]'])
def test_read_queries_rejects_another_format(tmp_path: Path, text: str):
    file = tmp_path / 'annotations.json'
    file.write_text(text)
    with pytest.raises(ConfigError, match='not an evaluation file in the Inst2Seg format'):
        read_queries(file, tmp_path)


def test_summarize():
    mask = np.ones((2, 2), dtype=np.bool_)
    instance = Instance(mask, np.array((0, 0, 2, 2), dtype=np.float32), 0.9)
    query = Query(Path('a.png'), 'a', mask)
    found = Segmentation((instance,), Instruction('a'), '', (2, 2))
    missed = Segmentation((), Instruction('a'), '', (2, 2))
    results = [Result(query, found, 1.0, 0.1), Result(query, missed, 0.0, 0.3)]
    summary = summarize(results, ready_s=1.0, total_s=2.0)
    assert (summary['mean_iou'], summary['instances'], summary['iou_above_half']) == (0.5, 1, 1)
    assert (summary['latency_p50_ms'], summary['images']) == (200.0, 1)
