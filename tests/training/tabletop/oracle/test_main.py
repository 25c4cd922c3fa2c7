"""The command that compares SAM3-Agent with an oracle, a model of one pass, and SAM3.

Covers tabletop.oracle.__main__, tabletop.oracle.rows, tabletop.oracle.table and tabletop.oracle.document.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsam_model.sam3_agent.replay.transcript import read_transcripts
from instructsam_training.tabletop.oracle import rows
from instructsam_training.tabletop.oracle.__main__ import main
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.tabletop_questions import write_questions


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The squares, and a segmenter for every checkpoint that finds them by their color."""
    loaded = {name: rows.Loaded(FakeSegmenter(), 'sam3', {'weights': name}) for name in ('fake', 'other')}
    monkeypatch.setattr(rows, 'load', lambda checkpoint, *_: loaded[checkpoint])
    # Pages and confidence intervals take a second each.
    monkeypatch.setattr('instructsam_training.evaluation.command.write_page', lambda *_: None)
    monkeypatch.setattr('instructsam_training.evaluation.report.report.confidence_intervals', lambda *_: {})
    return write_questions(tmp_path)


def test_table_of_all_rows(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out'
    command = ['--data', str(data), '--checkpoint', 'fake', '--sam3', 'fake', '--out', str(out)]
    page = tmp_path / 'page.md'
    more = ['--document', str(page), '--machine', 'one abacus', '--sam3.geometry_cls_token', 'on']
    assert main([*command, '--error-rates', '0', '100', '--strict', *more]) == 0
    printed = capsys.readouterr().out.splitlines()
    result = json.loads(printed[-1])
    assert result['questions'] == 5
    found = {row['model']: row for row in result['rows']}
    assert [*found] == [
        'sam3', 'sam3 name', 'sam3 question', 'agent 0 %', 'agent 100 %', 'strict 100 %'
    ]  # fmt: skip
    assert {name: row['metrics']['gIoU'] for name, row in found.items() if '100' not in name} == {
        'sam3': 0.8, 'sam3 name': 0.8, 'sam3 question': 0.8, 'agent 0 %': 0.8
    }  # fmt: skip
    assert (found['sam3']['rounds'], found['agent 0 %']['rounds']) == (None, 11 / 5)
    assert found['agent 100 %']['metrics']['gIoU'] < 0.5
    assert found['strict 100 %']['died'] > 0
    assert 'SAM3-Agent (Qwen3-VL-2B) 29.6 s (Table 10)' in (out / 'table.md').read_text()
    assert json.loads((out / 'table.json').read_text())['rows'] == result['rows']
    assert 'Measured on one abacus.' in page.read_text()
    assert '--strict --sam3.geometry_cls_token on' in page.read_text()
    assert page.read_text().count('| strict 100 % |') == 2
    assert len([*read_transcripts(out / 'agent-0' / 'transcripts')]) == 5


def test_the_same_command_goes_on(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out'
    command = ['--data', str(data), '--checkpoint', 'fake', '--sam3', 'fake', '--out', str(out), '--error-rates', '0']
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])['rows']
    # With one prediction less, it makes one.
    predictions = out / 'agent-0' / 'predictions-0.jsonl'
    before = predictions.read_text().splitlines()
    predictions.write_text('\n'.join(before[:-1]) + '\n')
    assert main(command) == 0
    assert predictions.read_text().splitlines()[:-1] == before[:-1]
    again = json.loads(capsys.readouterr().out.splitlines()[-1])['rows']
    assert [row | {'seconds': None} for row in again] == [row | {'seconds': None} for row in first]
    # Another checkpoint or seed is another run.
    assert main([*command, '--seed', '1']) == 2
    assert 'has predictions of a run that differs in segmenter;' in capsys.readouterr().err
    assert main([*command[:3], 'other', *command[4:]]) == 2
    assert 'has predictions of a run that differs in segmenter;' in capsys.readouterr().err


def test_wrong_arguments_are_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['--data', str(data), '--error-rates', '130'])
    assert 'expected' in capsys.readouterr().err
    assert main(['--data', str(tmp_path / 'nothing'), '--checkpoint', 'fake', '--sam3', 'fake']) == 2
    assert 'instructsam_training.tabletop.oracle: error: ' in capsys.readouterr().err


@pytest.mark.slow
def test_embedded_checkpoint_in_place_of_sam3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from instructsam_training.tabletop.export.dataset import DatasetPlan
    from instructsam_training.tabletop.export.write import write

    write(DatasetPlan(scenes=3, split='test', names=0, captions=0), tmp_path / 'data')
    out = tmp_path / 'out'
    assert main(['--data', str(tmp_path / 'data'), '--out', str(out), '--limit', '20', '--error-rates', '0']) == 0
    found = {row['model']: row for row in json.loads(capsys.readouterr().out.splitlines()[-1])['rows']}
    assert found['agent 0 %']['metrics']['gIoU'] > found['names']['metrics']['gIoU']
    assert "asked for 'the PHRASE'" in (out / 'table.md').read_text()
