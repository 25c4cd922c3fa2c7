"""Recorded runs and tables of the public agent (tests/golden/agent), and that faults in the code are noticed.

Covers __main__, client_table, known_fields, replay_run, tables.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from instructsam_model.sam3_agent.core.actions import Rendered
from instructsam_model.sam3_agent.core.messages import View
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.drawing.render import Renderer
from instructsam_model.sam3_agent.replay.__main__ import main, replay_folder
from instructsam_model.sam3_agent.replay.recorder import TranscriptRecorder
from instructsam_model.sam3_agent.replay.replay_run import PublicDrawing, RunReport
from instructsam_model.sam3_agent.replay.tables import TableReport, check_table
from instructsam_model.sam3_agent.replay.transcript import append_transcript
from tests.support import GOLDEN
from tests.support.agent_faults import FAULTS, CodeFault, notices
from tests.support.scripted_host import ACCEPT, EXAMINE, IMAGE_RGB, ScriptedHost, run, segment, select

FOLDER = GOLDEN / 'agent'
Reports = tuple[list[RunReport], list[TableReport]]


@pytest.fixture(scope='module')
def reports() -> Reports:
    return replay_folder(FOLDER)


def test_all_recorded_runs_are_equal(reports: Reports) -> None:
    runs = {run.name: run.differences for run in reports[0]}
    assert len(runs) == len(json.loads((FOLDER / 'transcripts' / 'index.json').read_text())) == 44
    assert {name: found for name, found in runs.items() if found} == {}
    assert {'ValueError', 'AssertionError', 'KeyError', 'returned, 105 masks'} <= {run.outcome for run in reports[0]}


def test_all_recorded_tables_are_equal(reports: Reports) -> None:
    tables = {table.name: table for table in reports[1]}
    assert set(tables) == {file.stem for file in (FOLDER / 'pure').glob('*.json')}
    assert {name: table.differences for name, table in tables.items() if table.differences} == {}
    cases = {'labels': 140, 'overlap': 40, 'zoom': 48, 'parse': 29, 'pruning': 12, 'rle': 26, 'client': 8}
    assert {name: tables[name].cases for name in cases} == cases


@pytest.mark.parametrize(
    'fault',
    [
        pytest.param(fault, id=fault.name, marks=() if number % 2 else pytest.mark.slow)
        for number, fault in enumerate(FAULTS)
    ],
)
def test_faults_in_the_code_are_noticed(fault: CodeFault) -> None:
    """`python -m tests.support.agent_faults` shows all runs that notice each."""
    assert notices(fault, fault.witness, FOLDER)


def small_folder(folder: Path) -> Path:
    """Make a folder with one recorded run and one table."""
    for place in ('transcripts/01_one_mask.json', 'pure/rle.json', 'inputs/scene_a.png'):
        (folder / place).parent.mkdir(parents=True)
        shutil.copy(FOLDER / place, folder / place)
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_last_line_of_the_command_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small_folder(tmp_path))]) == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = {'runs': 1, 'runs_equal': 1, 'tables': 1, 'tables_equal': 1, 'cases': 26, 'calls': 2}
    assert counts == {**expected, 'unknown_fields': 0}


def test_a_difference_is_named_and_makes_the_command_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_folder(tmp_path)
    edit(folder / 'transcripts' / '01_one_mask.json', '"kind": "segmented"', '"kind": "examined"')
    edit(folder / 'pure' / 'rle.json', '"area":24', '"area":23')
    assert main([str(folder)]) == 1
    out = capsys.readouterr().out
    assert "01_one_mask: events[4].messages[3].content[0].kind: expected 'examined', got 'segmented'" in out
    assert 'rle: 1: area: expected 23, got 24' in out
    assert json.loads(out.splitlines()[-1])['runs_equal'] == 0


@pytest.mark.parametrize(
    ('old', 'new', 'difference'),
    [
        ('"n": 1,', '', "slots.n: expected '(missing)', got 1"),
        ('"replies": [', '"replies": ["more",', 'replies[0]: expected '),
        ('"original_image_path": "scene_a.png"', '"original_image_path": "b.png"', 'original_image_path: expected '),
        ('"labels": ', '"label": ', 'labels: expected '),
        ('"history": ', '"messages": ', 'result.history: expected '),
    ],
)
def test_fields_that_are_missing_or_altered_are_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, difference: str
) -> None:
    edit(small_folder(tmp_path) / 'transcripts' / '01_one_mask.json', old, new)
    assert main([str(tmp_path)]) == 1
    assert difference in capsys.readouterr().out


def test_fields_that_nothing_compares_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_folder(tmp_path)
    edit(folder / 'transcripts' / '01_one_mask.json', '"zoom_index": null', '"zoom_index": null, "dpi": 100')
    edit(folder / 'pure' / 'rle.json', '"area":24', '"area":24,"center":[1,2]')
    assert main([str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert '01_one_mask: events[2].dpi: not a known field, not compared' in lines
    assert 'rle: [1].center: not a known field, not compared' in lines
    assert json.loads(lines[-1])['unknown_fields'] == 3


def test_the_public_code_draws_on_the_upright_image() -> None:
    upright_rgb = np.zeros((30, 20, 3), np.uint8)
    drawn = PublicDrawing(0, upright_rgb).draw(np.ones((20, 30, 3), np.uint8), View('masks'))
    assert isinstance(drawn, Rendered)
    assert np.array_equal(drawn.images[0], upright_rgb)


@pytest.mark.parametrize(
    ('place', 'content', 'message'),
    [
        ('transcripts/other.json', '{}', 'expected name'),
        ('pure/other.json', '[]', 'expected a table named'),
        ('pure/rle.json', '[{}]', 'not understood'),
        ('pure/rle.json', '[]', 'expected cases, found none'),
        ('inputs/scene_a.png', 'no image', 'scene_a.png'),
    ],
)
def test_files_that_are_not_understood_end_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, content: str, message: str
) -> None:
    (small_folder(tmp_path) / place).write_text(content)
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path)])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_damaged_masks_end_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(small_folder(tmp_path) / 'transcripts' / '01_one_mask.json', '"rle_counts": "gg4;', '"rle_counts": "gg5;')
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path)])
    assert end.value.code == 2
    assert '01_one_mask: this transcript is not understood (ValueError: RLE counts' in capsys.readouterr().err


def test_a_folder_with_nothing_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path, tmp_path / 'missing'):
        with pytest.raises(SystemExit) as end:
            main([str(folder)])
        assert end.value.code == 2
        assert 'found none' in capsys.readouterr().err


def test_a_missing_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small_folder(tmp_path) / 'inputs' / 'scene_a.png').unlink()
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert '01_one_mask: its image scene_a.png is not there' in capsys.readouterr().err


class DrawingHost(ScriptedHost):
    """Draws for real."""

    renderer = Renderer()

    def render(self, action: Any) -> Any:
        return self.renderer.render(IMAGE_RGB, action.view)


def test_own_runs_are_replayed_with_their_drawings(tmp_path: Path) -> None:
    (tmp_path / 'transcripts').mkdir()
    cv2.imwrite(str(tmp_path / 'one.png'), np.ascontiguousarray(IMAGE_RGB[..., ::-1]))
    recorder = TranscriptRecorder('one', 'one.png')
    run(DrawingHost([segment('disc'), EXAMINE, ACCEPT, ACCEPT, select(1)]), observe=recorder)
    append_transcript(tmp_path / 'transcripts' / 'runs.jsonl', recorder.transcript)
    [equal], _ = replay_folder(tmp_path)
    assert (equal.outcome, equal.calls, equal.differences) == ('selected, 1 masks', 5, ())
    # Another image gives other drawings, with other hashes.
    cv2.imwrite(str(tmp_path / 'one.png'), np.ascontiguousarray(IMAGE_RGB[..., ::-1] + 1))
    [other], _ = replay_folder(tmp_path)
    assert any('sha256' in difference for difference in other.differences)


def test_own_runs_see_photos_upright(tmp_path: Path) -> None:
    (tmp_path / 'transcripts').mkdir()
    file = tmp_path / 'turned.png'
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(IMAGE_RGB)).save(file, exif=exif)
    recorder = TranscriptRecorder('one', str(file.absolute()))
    host = DrawingHost([segment('disc'), select(1)])
    host.renderer = Renderer.strict()
    run(host, Settings(strict=True), recorder)
    append_transcript(tmp_path / 'transcripts' / 'runs.jsonl', recorder.transcript)
    assert replay_folder(tmp_path)[0][0].differences == ()


def test_a_table_shows_its_first_differences_only(tmp_path: Path) -> None:
    cases = json.loads((FOLDER / 'pure' / 'parse.json').read_text())
    (tmp_path / 'parse.json').write_text(json.dumps([{**case, 'outcome': 'other'} for case in cases]))
    report = check_table(tmp_path / 'parse.json', FOLDER / 'inputs')
    assert (report.cases, len(report.differences)) == (29, 5)
