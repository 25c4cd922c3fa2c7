"""Recorded runs with another language model. Covers live_command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.sam3_agent.replay.__main__ import main, replay_folder
from instructsam_model.sam3_agent.replay.transcript import read_transcripts
from tests.support import GOLDEN
from tests.support.fake_vlm_server import serve_vlm
from tests.support.scripted_vlm import find, select

RUN = '01_one_mask'
FOLDER = GOLDEN / 'agent'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of the public code."""
    folder = tmp_path_factory.mktemp('recorded')
    for place in (f'transcripts/{RUN}.json', 'inputs/scene_a.png'):
        (folder / place).parent.mkdir()
        (folder / place).write_bytes((FOLDER / place).read_bytes())
    return folder


@pytest.fixture(scope='module')
def phrase(folder: Path) -> str:
    [transcript] = read_transcripts(folder / 'transcripts')
    return next(event['text_prompt'] for event in transcript['events'] if event['event'] == 'sam3')


def live(folder: Path, replies: list[str], capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any, str]:
    """Run the command with a fake server; return its exit status, its last line and its output."""
    with serve_vlm(replies) as server:
        options = ['--sam3_agent.vlm', server.url, '--sam3_agent.reply_form', 'text', *more]
        status = main([str(folder), '--vlm', 'live', *options])
    out = capsys.readouterr().out
    return status, json.loads(out.splitlines()[-1]), out


def test_another_model_gets_the_recorded_masks(
    folder: Path, phrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Three rounds, while the recorded run has two; SAM3 finds the same for other capitals.
    replies = ['no call', find(phrase.upper()), select(1)]
    status, counts, _ = live(folder, replies, capsys, '--out', str(tmp_path))
    assert status == 0
    assert (counts['runs'], counts['died'], counts['rounds'], counts['mean_iou']) == (1, 0, 3, 1.0)
    assert counts['tokens'] > 0
    # What was kept can be replayed.
    [[run], _] = replay_folder(tmp_path)
    assert (run.outcome, run.calls, run.differences) == ('selected, 1 masks', 3, ())


def test_a_phrase_without_recorded_masks_is_no_empty_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, counts, out = live(folder, [find('unicorn')], capsys)
    assert status == 1
    assert (counts['errors'], counts['compared'], counts['mean_iou']) == (1, 0, None)
    assert "no recorded run has searched scene_a.png for 'unicorn'" in out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--vlm', 'live'], 'vlm: expected the URL'),
        (['--sam3_agent.vlm', 'http://localhost:1'], '--sam3_agent.vlm: expected --vlm live with it'),
        (['--out', 'here'], '--out: expected --vlm live with it'),
    ],
)
def test_live_runs_need_a_model_and_recorded_ones_none(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(folder), *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
