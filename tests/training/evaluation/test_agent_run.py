"""Evaluation of an agent: its runs, their transcripts, and their repetition without a model.

Covers evaluation.transcripts, evaluation.replay and evaluation.report.rounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from instructsam_model.errors import ConfigError, InferenceError
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.replay.__main__ import replay_folder
from instructsam_model.sam3_agent.segmenter import AgentSegmenter
from instructsam_training.api import evaluate
from instructsam_training.cli.evaluate import main
from instructsam_training.evaluation.inference import run_inference
from instructsam_training.evaluation.prediction import PredictedMasks, PredictionLog, log_file
from instructsam_training.evaluation.query import Query, group_by_image
from instructsam_training.evaluation.replay import replay_predictions
from instructsam_training.evaluation.result import EvaluationResult
from instructsam_training.evaluation.transcripts import TranscriptFolder
from tests.support import ROOT
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.fake_vlm_server import serve_vlm
from tests.support.scripted_vlm import ACCEPT, EXAMINE, REJECT, REPORT, ScriptedVlm, find, select
from tests.support.tabletop_questions import load_questions, write_questions
from tests.support.tiny_sam3 import write_tiny_sam3

NONSENSE = 'I see a mug.'
REPLIES = (
    *(find('red mug'), select(1)),
    *(find('green and blue box'), EXAMINE, ACCEPT, REJECT, select(1)),
    *(NONSENSE,) * 4,
    REPORT,
    *(find('red mug and green box'), select(1, 2)),
)
"""Of five questions, the third gets no valid call."""


@dataclass(frozen=True)
class Runs:
    """An evaluation of an agent on the squares."""

    data: Path
    out: Path
    result: EvaluationResult

    @property
    def transcripts(self) -> TranscriptFolder:
        """Its transcripts."""
        return TranscriptFolder(self.out)


def predict(
    data: Path, out: Path, replies: Iterable[str | Exception], *, strict: bool = False
) -> dict[str, PredictedMasks]:
    """Run the agent on all questions, without a report."""
    agent = AgentSegmenter(ScriptedVlm(replies), FakeSegmenter(), Settings(strict=strict))
    with PredictionLog(log_file(out, 0)) as log:
        groups = group_by_image(load_questions(data))
        found = run_inference(agent, groups, log, lambda: 0.5, TranscriptFolder(out))
        return {query.id: prediction for query, prediction in found}


def replay(data: Path, folder: Path, out: Path, *more: str) -> int:
    return main(['tabletop', '--data', str(data), '--replay', str(folder), '--out', str(out), *more])


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / 'report.json').read_text())


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    out = tmp_path_factory.mktemp('runs')
    agent = AgentSegmenter(ScriptedVlm(REPLIES), FakeSegmenter())
    return Runs(data, out, evaluate(agent, 'tabletop', data, out=out))


def test_report_counts_rounds_and_dead_runs(runs: Runs) -> None:
    report = runs.result.report
    assert report['runs']['ended'] == {'gave_up': 1, 'reported': 1, 'selected': 3}
    assert (report['runs']['died'], report['runs']['died_right']) == (1, 0)
    assert (report['overall']['gIoU'], report['runs']['metrics']['not died']['gIoU']) == (0.8, 1.0)
    sums = {name: summary['sum'] for name, summary in report['runs']['counts'].items()}
    assert (sums['rounds'], sums['calls'], sums['phrases'], sums['malformed replies']) == (12, 14, 3, 4)
    assert sums['generated tokens'] == 140
    assert runs.result.speed['stages'].keys() == {'vlm', 'sam3', 'render'}


def test_every_run_has_a_transcript_with_its_images(runs: Runs) -> None:
    transcript = runs.transcripts.read('0.1')
    assert transcript is not None
    assert [event['reply'] for event in transcript['events'] if event['event'] == 'vlm'] == list(REPLIES[2:7])
    images = sorted(file.name for file in (runs.transcripts.folder / '0.1').iterdir())
    # All masks, each of the two and its zoom pair, and the one that was accepted; the image itself is a file already.
    assert [name.split('_', 1)[1] for name in images] == [
        'masks.jpg', 'mask_1.jpg', 'zoom_1.jpg', 'mask_2.jpg', 'zoom_2.jpg', 'masks.jpg', 'masks.jpg'
    ]  # fmt: skip
    assert runs.transcripts.read('7.7') is None


def test_page_shows_the_rounds_of_each_run(runs: Runs) -> None:
    page = (runs.out / 'report.html').read_text()
    assert page.count('<details class="rounds">') == 5
    assert '<summary>3 rounds, 5 calls, selected</summary>' in page
    assert 'SAM3: 2 masks of &#x27;green and blue box&#x27;, scores 0.90, 0.70' in page
    assert '<b>died</b> undecided' in page
    assert page.count(NONSENSE) == 4


def test_replay_gives_the_same_numbers_without_a_model(runs: Runs, tmp_path: Path) -> None:
    assert replay(runs.data, runs.out, tmp_path) == 0
    report, expected = report_of(tmp_path), runs.result.report
    assert {**report, 'settings': expected['settings']} == expected
    assert json.loads((tmp_path / 'speed.json').read_text()) == runs.result.speed
    assert (tmp_path / 'report.html').read_text().count('<details class="rounds">') == 5


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'query': 'Another question.'}, "expected the run of 'Show me the red mug.', got that of 'Another question.'"),
        ({'reply': REPORT}, 'cannot be repeated: the run is over, but the recorded one goes on with'),
        ({'masks': []}, 'expected the masks of the recorded result, got others'),
        ({'cut': True}, 'is the file cut off?'),
    ],
)
def test_transcripts_of_another_run_are_refused(
    runs: Runs, tmp_path: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = TranscriptFolder(tmp_path)
    transcript = runs.transcripts.read('0.0')
    assert transcript is not None
    if 'reply' in change:
        next(event for event in transcript['events'] if event['event'] == 'vlm')['reply'] = change['reply']
    if 'masks' in change:
        transcript['result']['final_outputs']['pred_masks'] = change['masks']
    copy.write('0.0', {**transcript, **change})
    if 'cut' in change:
        copy.file('0.0').write_text(copy.file('0.0').read_text()[:100])
    assert replay(runs.data, tmp_path, tmp_path / 'out', '--limit', '1') == 2
    error = capsys.readouterr().err
    assert '/0.0.jsonl:' in error
    assert message in error


def test_a_turned_photo_is_replayed_alike_by_both_commands(data: Path, tmp_path: Path) -> None:
    question = load_questions(data)[0]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(question.image) as image:
        stored = image.convert('RGB').transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / 'turned.jpg', exif=exif, quality=95, subsampling=0)
    query = replace(question, image=tmp_path / 'turned.jpg')
    agent = AgentSegmenter(ScriptedVlm([find('everything'), EXAMINE, ACCEPT, select(1)]), FakeSegmenter())
    with PredictionLog(log_file(tmp_path, 0)) as log:
        [(_, prediction)] = run_inference(agent, [[query]], log, lambda: 0.5, TranscriptFolder(tmp_path))
    assert (prediction.ended, len(prediction.masks)) == ('selected', 1)
    assert replay_predictions(tmp_path, [query]) == {query.id: prediction}
    [[repeated], _] = replay_folder(tmp_path)
    assert (repeated.calls, repeated.differences) == (4, ())


def test_replay_needs_transcripts_and_no_model(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ['tabletop', '--data', str(runs.data), '--out', str(tmp_path / 'out')]
    assert main([*command, '--replay', str(tmp_path)]) == 2
    assert 'expected the folder of an evaluation of an agent, with transcripts/*.jsonl' in capsys.readouterr().err
    assert main([*command, '--replay', str(runs.out), '--sam3_agent.vlm', 'http://localhost:1']) == 2
    assert '--replay: expected no options of a model beside it' in capsys.readouterr().err
    # Queries without a transcript are missing, not empty.
    one = TranscriptFolder(tmp_path)
    transcript = runs.transcripts.read('0.0')
    assert transcript is not None
    one.write('0.0', transcript)
    assert main([*command, '--replay', str(tmp_path)]) == 2
    assert '4 of 5 queries and records were skipped' in capsys.readouterr().err


def test_a_server_that_fails_is_an_error_of_its_query(data: Path, tmp_path: Path) -> None:
    replies = [find('red mug'), select(1), find('green box'), InferenceError('the server is gone'), *REPLIES[7:]]
    found = predict(data, tmp_path, replies)
    assert 'the server is gone' in found['0.1'].error
    assert {name: (run.ended, run.died) for name, run in found.items() if not run.error} == {
        '0.0': ('selected', False), '0.2': ('gave_up', True), '0.3': ('reported', False), '0.4': ('selected', False)
    }  # fmt: skip
    # The transcript says why.
    transcript = TranscriptFolder(tmp_path).read('0.1')
    assert transcript is not None
    assert transcript['events'][-1]['error'] == 'the server is gone'
    assert replay_predictions(tmp_path, load_questions(data)) == found


def test_dead_runs_of_the_public_code_are_empty_predictions(data: Path, tmp_path: Path) -> None:
    replies = [*REPLIES[:2], NONSENSE, NONSENSE, REPORT, find('red mug and green box'), select(1, 2)]
    found = predict(data, tmp_path, replies, strict=True)
    assert [(run.ended, len(run.masks), run.error) for run in found.values()] == [
        ('selected', 1, ''), ('error', 0, ''), ('error', 0, ''), ('reported', 0, ''), ('selected', 2, '')
    ]  # fmt: skip
    assert replay_predictions(tmp_path / 'transcripts', load_questions(data)) == found


def test_ids_with_any_characters_have_files(tmp_path: Path) -> None:
    folder = TranscriptFolder(tmp_path)
    query = Query('a/b: 1?', tmp_path / 'image.png', (1, 1), 'phrase', 'x', ())
    folder.write(
        query.id, {'name': query.id, 'image': '', 'query': '', 'max_generations': 1, 'events': [], 'result': {}}
    )
    assert folder.file(query.id).parent == folder.folder
    assert (folder.read(query.id) or {})['name'] == query.id
    folder.file(query.id).write_text('{}\n')
    with pytest.raises(ConfigError, match='expected one transcript'):
        folder.read(query.id)
    assert json.loads(folder.file(query.id).read_text()) == {}
    folder.delete()
    assert not folder.folder.exists()


@pytest.mark.slow
def test_shards_of_the_back_end_are_resumed(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    data = write_questions(tmp_path_factory.mktemp('two_images'), images=2)
    checkpoint = write_tiny_sam3(tmp_path / 'sam3')
    command = ['tabletop', '--data', str(data), '--device', 'cpu', '--checkpoint', str(checkpoint)]
    shards = ['torch.distributed.run', '--standalone', '--nproc_per_node', '2', '-m']
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT / "model"}:{ROOT / "training"}', 'OMP_NUM_THREADS': '1'}

    def reply(body: dict[str, Any]) -> str:
        return find('red mug') if len(body['messages']) == 2 else REPORT

    with serve_vlm(reply) as served:
        command += ['--backend', 'sam3_agent', '--sam3_agent.vlm', served.url, '--out', str(tmp_path / 'shards')]
        launch = [sys.executable, '-m', *shards, 'instructsam_training.cli.evaluate', *command]
        subprocess.run(launch, env=environment, check=True, capture_output=True)
        assert len(served.chats) == 20
        # Of one query, nothing is left; the same command, now with one process, asks for it alone.
        lost = tmp_path / 'shards' / 'predictions-1.jsonl'
        lines = lost.read_text().splitlines()
        lost.write_text('\n'.join(lines[:-1]) + '\n')
        assert main(command) == 0
        assert len(served.chats) == 22
        fresh = [*command[:-1], str(tmp_path / 'fresh')]
        assert main([*fresh, '--limit', '2']) == 0
        assert main([*fresh, '--limit', '1', '--fresh']) == 0
        assert [file.name for file in TranscriptFolder(tmp_path / 'fresh').folder.glob('*.jsonl')] == ['0.0.jsonl']
    files = sorted((tmp_path / 'shards').glob('predictions-*'))
    assert [len(file.read_text().splitlines()) for file in files] == [6, 4]
    report = report_of(tmp_path / 'shards')
    assert report['runs']['ended'] == {'reported': 10}
    assert report['runs']['counts']['rounds']['sum'] == 20
    assert replay(data, tmp_path / 'shards', tmp_path / 'again') == 0
    assert report_of(tmp_path / 'again')['runs'] == report['runs']
