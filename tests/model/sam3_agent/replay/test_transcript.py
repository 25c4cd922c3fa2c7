"""Runs are written down and repeated from what was written. Covers compare, recorder, replay_host."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.actions import Reply, VlmFailed
from instructsam_model.sam3_agent.core.limits import Limits, Prices, Usage
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.loop import run_agent
from instructsam_model.sam3_agent.replay.compare import differences
from instructsam_model.sam3_agent.replay.recorder import TranscriptRecorder
from instructsam_model.sam3_agent.replay.replay_host import ReplayError, ReplayHost, recorded_settings
from instructsam_model.sam3_agent.replay.transcript import (
    Transcript,
    TranscriptError,
    append_transcript,
    format_transcript,
    from_outputs,
    parse_transcript,
    read_transcripts,
    to_detections,
    to_instances,
)
from tests.support.agent_fuzz import IMAGE_RGB as FUZZ_IMAGE_RGB
from tests.support.agent_fuzz import Fuzzer
from tests.support.scripted_host import ACCEPT, EXAMINE, IMAGE_RGB, TWO, ScriptedHost, run, segment, select

LIMITS = Limits(main_calls=20, tokens=10**6, cost=5.0, seconds=100.0, prices=Prices(1.0, 2.0))
REPLIES: tuple[Any, ...] = (
    Reply(segment('disc'), Usage(100, 20, 0.5), 'stop'), None, EXAMINE, ACCEPT, ACCEPT, select(2),
)  # fmt: skip


def record(*replies: Any, save: Any = None) -> Transcript:
    recorder = TranscriptRecorder('one', 'one.png', save)
    run(ScriptedHost(replies, seconds=2.0), Settings(limits=LIMITS), recorder)
    return parse_transcript(format_transcript(recorder.transcript), 'one')


def replay(transcript: Transcript, image_rgb: NDArray[np.uint8] = IMAGE_RGB) -> Transcript:
    host = ReplayHost(transcript, image_rgb)
    recorder = TranscriptRecorder(transcript['name'], transcript['image'])
    settings = recorded_settings(transcript)
    run_agent(image_rgb, transcript['query'], host, settings, observe=recorder, clock=host.clock)
    host.check_complete()
    return recorder.transcript


@pytest.fixture(scope='module')
def transcript() -> Transcript:
    return record(*REPLIES)


def test_a_transcript_tells_the_whole_run(transcript: Transcript) -> None:
    names = [event['event'] for event in transcript['events']]
    rounds = ['vlm', 'sam3', 'render', 'sam3_file', 'vlm', 'vlm', 'render', 'vlm', 'render', 'vlm', 'render', 'vlm']
    assert names == [*rounds, 'render']
    first, repaired = transcript['events'][0], transcript['events'][4]
    assert first['messages'][0] == {'role': 'system', 'content': '<<SYSTEM PROMPT: MAIN>>'}
    assert first['usage'] == {'prompt_tokens': 100, 'completion_tokens': 20, 'cost': 0.5}
    assert (first['finish_reason'], first['seconds']) == ('stop', 2.0)
    assert repaired['reply'] is None
    assert transcript['events'][5]['messages'][-1]['content'][0]['kind'] == 'tool_error'
    assert (transcript['main_calls'], transcript['check_calls'], transcript['replies_used']) == (4, 2, 6)
    assert recorded_settings(transcript) == Settings(limits=LIMITS)
    result = transcript['result']
    assert (result['status'], result['ended'], result['phrase']) == ('returned', 'selected', 'disc')
    assert np.array_equal(from_outputs(result['final_outputs']).masks[0], TWO.masks[1])


def test_images_are_kept_once_each() -> None:
    kept: dict[str, NDArray[np.uint8]] = {}

    def save(name: str, pixels: NDArray[np.uint8]) -> str:
        assert name not in kept
        kept[name] = pixels
        return f'images/{name}.png'

    recorded = record(*REPLIES, save=save)
    assert [name.partition('_')[2] for name in kept] == [
        'image', 'masks', 'mask_1', 'zoom_1', 'mask_2', 'zoom_2', 'masks', 'masks',
    ]  # fmt: skip
    sent = [part for event in recorded['events'] if event['event'] == 'vlm' for part in event['messages'][1]['content']]
    assert {part['path'] for part in sent if part['type'] == 'image'} <= {f'images/{name}.png' for name in kept}


@pytest.mark.parametrize(
    'replies', [REPLIES, (segment('disc'), VlmFailed('503')), (*['?'] * 4,)], ids=['selected', 'error', 'gave_up']
)
def test_a_run_is_repeated_from_its_transcript(replies: tuple[Any, ...]) -> None:
    recorded = record(*replies)
    assert list(differences(recorded, replay(recorded), None)) == []


@pytest.mark.parametrize('strict', [False, True])
def test_random_runs_are_repeated_from_their_transcripts(strict: bool) -> None:
    fuzzer = Fuzzer(3, strict)
    for _ in range(25):
        recorded = fuzzer.run()
        assert list(differences(recorded, replay(recorded, FUZZ_IMAGE_RGB), None)) == []


def edited(transcript: Transcript, *place: Any, value: Any) -> Transcript:
    """Return a copy with another value at a place."""
    changed = copy.deepcopy(transcript)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    assert inner[place[-1]] != value
    inner[place[-1]] = value
    return changed


@pytest.mark.parametrize(
    ('place', 'value'),
    [
        (('main_calls',), 5),
        (('events', 0, 'reply'), segment('disk')),
        (('events', 0, 'messages', 1, 'content', 1, 'slots', 'query'), 'another'),
        (('events', 4, 'messages', 3, 'content', 0, 'kind'), 'examined'),
        (('events', 4, 'messages', 3, 'content', 1, 'exists'), False),
        (('events', 3, 'content', 'pred_scores', 0), 0.5),
        (('events', 3, 'content', 'removed_indices'), [1]),
        (('events', 2, 'masks'), 3),
        (('result', 'final_outputs', 'pred_masks'), []),
        (('result', 'final_outputs', 'pred_boxes', 0, 0), 0.25),
        (('result', 'history', 2, 'content', 0, 'text'), 'another'),
    ],
)
def test_every_edit_of_a_transcript_is_a_difference(transcript: Transcript, place: tuple[Any, ...], value: Any) -> None:
    assert len(list(differences(edited(transcript, *place, value=value), transcript, None))) == 1


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('events', 0, 'reply'), select(1), 'recorded is sam3'),
        (('events', 0, 'reply'), segment('disk'), "searches 'disk', recorded is 'disc'"),
        (('events', 6, 'event'), 'sam3_file', 'asks for render, recorded is vlm'),
        (('events', 7, 'kind'), 'main', 'makes a check call, recorded is main'),
    ],
)
def test_a_run_that_asks_for_something_else_is_an_error(
    transcript: Transcript, place: tuple[Any, ...], value: Any, message: str
) -> None:
    with pytest.raises(ReplayError, match=message):
        replay(edited(transcript, *place, value=value))


def test_a_run_that_ends_early_or_late_is_an_error(transcript: Transcript) -> None:
    events = transcript['events']
    with pytest.raises(ReplayError, match='the recorded one is over'):
        replay({**transcript, 'events': events[:-1]})
    with pytest.raises(ReplayError, match='goes on with vlm'):
        replay({**transcript, 'events': [*events, events[0]]})


def test_masks_and_their_exact_numbers_survive(transcript: Transcript) -> None:
    again = to_detections({'image_hw': list(TWO.size_hw), 'instances': json.loads(json.dumps(to_instances(TWO)))})
    assert again.boxes_xywh.tolist() == TWO.boxes_xywh.tolist()
    assert again.scores.tolist() == TWO.scores.tolist()
    assert all(np.array_equal(mask, other) for mask, other in zip(again.masks, TWO.masks, strict=True))


def test_transcripts_are_lines_of_files(tmp_path: Path, transcript: Transcript) -> None:
    for folder_file in ('a.jsonl', 'b.json'):
        append_transcript(tmp_path / folder_file, transcript)
    append_transcript(tmp_path / 'a.jsonl', {**transcript, 'name': 'two', 'query': 'a\u2028b\ud800'})
    assert [each['name'] for each in read_transcripts(tmp_path)] == ['one', 'two', 'one']
    assert [each['query'] for each in read_transcripts(tmp_path / 'a.jsonl')][1] == 'a\u2028b\ud800'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'found an empty file'),
        ('{"name": ', 'is the file cut off'),
        ('[]', 'expected a transcript'),
        ('{"name": 3}', r'expected name \(str\), got 3'),
        ('EVENT', "event 1: expected one of vlm, .*, got 'dance'"),
        ('KEY', r'event 0 \(vlm\): reply is missing'),
    ],
)
def test_files_that_are_no_transcripts_are_refused(
    tmp_path: Path, transcript: Transcript, content: str, message: str
) -> None:
    file = tmp_path / 'one.json'
    if content == 'EVENT':
        content = json.dumps(edited(transcript, 'events', 1, 'event', value='dance'))
    elif content == 'KEY':
        broken = copy.deepcopy(transcript)
        del broken['events'][0]['reply']
        content = json.dumps(broken)
    file.write_text(content)
    with pytest.raises(TranscriptError, match=message):
        list(read_transcripts(file))


def test_a_folder_without_transcripts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match='found none'):
        list(read_transcripts(tmp_path))
