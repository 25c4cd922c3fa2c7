"""The demo: a simulated camera, the node and a client that scores the results."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.support import ROOT

pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')

from instructsam_model import ConfigError, Instance, Instruction, Segmentation
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample
from instructsam_ros.sim.scoring import BoxError, Query, QueryScore, score
from instructsam_ros.tools.demo import COLUMNS, choose_queries, draw_score, summarize
from instructsam_ros.tools.runner import make_table
from instructsam_training.tabletop.render.headless import RenderError
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.sampling import sample_scene

CHECKPOINT = ROOT / 'tests' / 'golden' / 'checkpoint'
MASK = np.ones((40, 60), dtype=np.bool_)


@pytest.fixture(scope='module', autouse=True)
def _require_renderer() -> None:
    try:
        Renderer((32, 32)).close()
    except RenderError as error:
        pytest.skip(str(error))


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT / folder) for folder in ('.', 'model', 'training')]
    return subprocess.run(
        [sys.executable, '-m', 'instructsam_ros.tools.demo', *arguments],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def result(*targets: int, found: bool, latency_s: float = 0.1) -> QueryScore:
    """The score of a result on an image that shows nothing but object 1."""
    sample = GroundTruthSample(
        np.zeros((*MASK.shape, 3), dtype=np.uint8),
        np.ones(MASK.shape, dtype=np.float32),
        CameraModel(np.array([[50.0, 0, 29.5], [0, 50.0, 19.5], [0, 0, 1]]), MASK.shape[::-1]),
        MASK.astype(np.uint16),
    )
    instance = Instance(MASK, np.array((0, 0, 60, 40), dtype=np.float32), 0.9, 'the [red] mug')
    segmentation = Segmentation((instance,) if found else (), Instruction('the [red] mug'), '', MASK.shape[::-1])
    return score(Query(7, 'category', 'the [red] mug', targets), segmentation, sample, latency_s)


def test_demo_segments_a_simulated_table_over_dds(tmp_path: Path):
    finished = run_demo('--checkpoint', str(CHECKPOINT), '--instructions', '2', '--out', str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout.splitlines()[-1])
    assert (summary['queries'], summary['scenes'], summary['kinds']) == (2, 2, 2)
    assert 0 <= summary['mean_iou'] <= 1  # the golden checkpoint is not trained on the tabletop
    assert summary['boxes'] in (0, 1, 2)
    assert summary['latency_p95_ms'] >= summary['latency_p50_ms'] > 0
    images = [cv2.cvtColor(cv2.imread(str(tmp_path / f'{number:03d}.png')), cv2.COLOR_BGR2RGB) for number in range(2)]
    renderer = Renderer((320, 240))
    scene = renderer.render(sample_scene(3)).image_rgb
    renderer.close()
    # The second overlay shows the second scene, which has hardly moved yet.
    first, second = (np.median(np.abs(image[:180].astype(int) - scene[:180])) for image in images)
    assert second < first


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--checkpoint', 'nowhere/at/all'], 'the node could not configure'),
        (['--start-timeout', '0.2'], 'waited 0.2 s for the state of the node'),
    ],
    ids=['checkpoint', 'timeout'],
)
def test_demo_reports_errors_without_a_traceback(arguments: list[str], message: str):
    finished = run_demo(*arguments)
    assert finished.returncode == 1
    assert message in finished.stderr
    assert 'Traceback' not in finished.stderr


def test_choose_queries_covers_many_kinds_and_only_test_scenes():
    chosen = choose_queries(12, 3, seed=0)
    assert len(chosen) == 12
    assert len({query.kind for query in chosen}) >= 9
    assert [query.seed for query in chosen] == [1, 1, 1, 3, 3, 3, 5, 5, 5, 7, 7, 7]
    assert len({(query.seed, query.text) for query in chosen}) == 12
    assert chosen == choose_queries(12, 3, seed=0)
    assert choose_queries(1, 1, seed=4)[0].seed == 9


def test_choose_queries_without_mujoco_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, 'instructsam_training.tabletop.render.render')
    monkeypatch.setitem(sys.modules, 'mujoco', None)
    with pytest.raises(ConfigError, match=r'cannot render .* extra sim'):
        choose_queries(1, 1, seed=0)


def test_table_has_a_row_per_result():
    text = io.StringIO()
    Console(file=text, width=120).print(make_table([result(1, found=True), result(1, found=False)], COLUMNS))
    hit, miss = (line.split('│') for line in text.getvalue().splitlines() if '│' in line)
    assert [cell.strip() for cell in hit[1:-1]] == [
        '000', 'the [red] mug', 'the [red] mug', 'category', '1 of 1', 'yes', '1.00'
    ]  # fmt: skip
    assert [cell.strip() for cell in miss[3:-1]] == ['(no target)', 'category', '0 of 1', 'no', '0.00']


def test_summarize():
    results = [
        result(1, found=True, latency_s=0.1),
        result(1, found=False, latency_s=0.3),
        result(found=False, latency_s=0.2),
    ]
    summary = summarize(results, ready_s=1.0, total_s=2.0)
    assert (summary['mean_iou'], summary['latency_p50_ms']) == (0.6667, 200.0)
    assert (summary['target_point_on_object'], summary['no_target_accuracy']) == (0.5, 1.0)
    assert (summary['queries'], summary['queries_without_target'], summary['scenes']) == (3, 1, 1)
    assert (summary['boxes'], summary['box_center_error_p50_m'], summary['box_size_error_p50_m']) == (0, None, None)
    errors = [BoxError(0.01, 0.002, 0.1), BoxError(0.02, 0.003, 0.15), BoxError(0.09, 0.007, 0.4)]
    measured = summarize([replace(results[0], box_error=error) for error in errors], 1.0, 2.0)
    assert measured['box_size_within_20_percent'] == pytest.approx(2 / 3, abs=1e-4)
    assert (measured['boxes'], measured['box_center_error_p50_m'], measured['box_size_error_p50_m']) == (3, 0.02, 0.003)
    assert summarize(results[:1], 1.0, 2.0)['no_target_accuracy'] is None


def test_draw_score_marks_the_target_point():
    results = [result(1, found=True), result(2, found=True), result(1, found=False)]
    images = [draw_score(each) for each in results]
    assert [image[20, 30].argmax() for image in images[:2]] == [1, 0]  # green, red
    assert images[2][20, 30].tolist() == [0, 0, 0]
