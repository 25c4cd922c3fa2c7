"""python -m instructsam_training.tables on the golden checkpoint.

Covers tables/__main__.py, tables/measure.py, tables/layout.py and tables/checkpoints.py.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path

import pytest

from instructsam_training.evaluation.report.grid import Grid
from instructsam_training.tables.__main__ import build_parser, main, parse_data
from instructsam_training.tables.checkpoints import find_checkpoint, parse_checkpoints
from instructsam_training.tables.layout import THIS, make_grid
from instructsam_training.tables.measure import Measured, choose_backend, option_flags, read_calls, read_column
from instructsam_training.tables.paper import TABLES
from instructsam_training.tables.table import FULL, LATENCY, MEMORY, Column, Number, Row
from tests.support import ROOT
from tests.support.small_run import write_run

GOLDEN = ROOT / 'tests' / 'golden'
CHECKPOINT = str(GOLDEN / 'checkpoint')
FLAGS = ['--images', str(GOLDEN), '--limit', '2', '--device', 'cpu', '--prompt', 'unchanged']


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the golden queries as Inst2Seg."""
    folder = tmp_path_factory.mktemp('benchmarks')
    (folder / 'inst2seg').mkdir()
    (folder / 'inst2seg' / 'inst2seg.json').write_text((GOLDEN / 'eval_inst2seg.json').read_text())
    return folder


def cells(grid: Grid, title: str) -> dict[str, str]:
    [row] = [row for row in grid.rows if row[0] == title]
    return dict(zip(grid.headings, row, strict=True))


@pytest.mark.slow
def test_one_checkpoint_is_evaluated_whole_and_with_parts_removed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['7', '--data', str(data), '--checkpoint', CHECKPOINT, '--out', str(tmp_path), *FLAGS]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ('token 0', 'mAP, paper', '29.1', '16.7'))
    assert 'AP50' not in printed  # the tables of each evaluation go to stderr
    report = json.loads((tmp_path / 'table.json').read_text())
    rows = {row['name']: row for row in report['rows']}
    assert [*rows] == ['full', 'no_phrase', 'no_queries']
    assert rows['full']['this evaluation']['gIoU'] > 50
    for name, row in rows.items():
        folder = tmp_path / name / 'inst2seg-test'
        run = json.loads((folder / 'run.json').read_text())
        assert run.get('instructsam.ablation') == (None if name == 'full' else name)
        overall = json.loads((folder / 'report.json').read_text())['overall']
        assert row['this evaluation'] == {'mAP': 100 * overall['mAP'], 'gIoU': 100 * overall['gIoU']}
        assert row['queries'] == {'inst2seg test': 2}
    low, high = rows['no_phrase']['gain of the first row']
    assert low <= rows['full']['this evaluation']['mAP'] - rows['no_phrase']['this evaluation']['mAP'] <= high
    markdown = (tmp_path / 'table.md').read_text()
    assert '| token 0 instead of the phrase |' in markdown


def test_latency_and_memory_are_means_and_a_row_without_checkpoint_keeps_the_numbers_of_the_paper(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ['--data', f'inst2seg={data / "inst2seg"}', '--checkpoint', CHECKPOINT, '--out', str(tmp_path)]
    assert main(['10', *arguments, *FLAGS]) == 1
    assert 'not evaluated: agent; give its checkpoint with --row agent=' in capsys.readouterr().err
    row, agent = json.loads((tmp_path / 'table.json').read_text())['rows']
    lines = (tmp_path / 'full' / 'inst2seg-test' / 'predictions-0.jsonl').read_text().splitlines()
    predictions = [json.loads(line) for line in lines]
    assert row['this evaluation'][LATENCY] == pytest.approx(sum(each['seconds'] for each in predictions) / 2)
    assert row['this evaluation'][MEMORY] == pytest.approx(sum(each['memory_gib'] for each in predictions) / 2)
    assert (agent['this evaluation'], agent['paper'][LATENCY]) == (None, 29.6)


def test_options_of_the_agent_are_for_its_row_only() -> None:
    """Table 10 compares a model of one pass with SAM3-Agent, each with the flags of its back end."""
    full, agent = TABLES[10].rows
    given = {'backend': 'auto', 'instructsam.engine': 'eager', 'sam3_agent.vlm': 'http://localhost:1'}
    ours, theirs = Namespace(**given), Namespace(**given)
    choose_backend(TABLES[10], full, ours)
    choose_backend(TABLES[10], agent, theirs)
    assert vars(ours) == {'backend': 'auto', 'instructsam.engine': 'eager'}
    assert vars(theirs) == {'backend': 'sam3_agent', 'sam3_agent.vlm': 'http://localhost:1'}
    assert read_calls({'runs': {'counts': {'calls': {'mean': 3.5}}}}) == 3.5
    assert read_calls({'runs': {}}) is None


def test_rows_of_the_inference_are_options_of_its_back_end() -> None:
    """Table 7; a slow test runs it."""
    assert [option_flags(row) for row in TABLES[7].rows] == [
        [],
        ['--instructsam.ablation', 'no_phrase'],
        ['--instructsam.ablation', 'no_queries'],
    ]


def test_numbers_stand_beside_those_of_the_paper() -> None:
    table = TABLES[2]
    ours = {column.heading: float(number) for number, column in enumerate(table.columns)}
    grid = make_grid(table, {FULL: Measured('somewhere', {}, ours, {'inst2seg test': 3})}, {})
    assert grid.headings[1:3] == (THIS, 'InstructSAM-2B')
    row = cells(grid, 'Inst2Seg multi gIoU')
    assert (row[THIS], row['InstructSAM-2B'], row['SAM3-Agent (Qwen2.5-VL-7B)']) == ('5.0', '44.0', '?')
    assert cells(grid, 'ReasonSeg test long cIoU')['SAM3-Agent (Qwen2.5-VL-7B)'] == '56.2'
    assert 'queries: 3 of inst2seg test' in grid.note
    # Of a table of models, each number is followed by that of the paper.
    grid = make_grid(TABLES[6], {FULL: Measured('somewhere', {}, {'mAP': 12.0, LATENCY: 0.256}, {})}, {})
    assert cells(grid, 'K = 10')['mAP'] == '12.0'
    assert cells(grid, 'K = 10')[LATENCY] == '0.26'
    assert cells(grid, 'K = 200')[f'{LATENCY}, paper'] == '2.1'
    assert (cells(grid, 'K = 50')['mAP'], cells(grid, 'K = 50')['mAP, paper']) == ('', '?')


def test_the_embedded_checkpoint_is_not_compared_in_silence() -> None:
    grid = make_grid(TABLES[4], {FULL: Measured('embedded', {}, {}, {})}, {})
    assert 'simulated tabletops' in grid.note


def test_a_column_is_the_mean_of_its_numbers_and_empty_if_one_is_missing() -> None:
    column = Column('mean', (Number('a', 'val', 'gIoU'), Number('a', 'test', 'gIoU', 'short')))
    reports = {
        ('a', 'val'): {'overall': {'gIoU': 0.5}, 'strata': {}},
        ('a', 'test'): {'overall': {'gIoU': 0.9}, 'strata': {'length': {'short': {'gIoU': 0.1}}}},
    }
    assert read_column(column, reports) == pytest.approx(30)
    assert read_column(column, {('a', 'val'): reports['a', 'val']}) is None


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['7', '--data', 'nowhere'], 'nowhere: no such folder'),
        (['7', '--data', '{empty}'], 'expected inst2seg as folders of .*found none'),
        (['7', '--data', 'coco={empty}'], "expected one of inst2seg, got 'coco'"),
        (['7', '--data', '{data}'], 'full model: not evaluated; give its checkpoint with --checkpoint'),
        (['7', '--data', '{data}', '--row', 'no_masks=x'], 'expected NAME=CHECKPOINT with one of full, no_phrase'),
        (['6', '--data', '{data}'], 'K = 10: not evaluated; train it with --train, or: instructsam-train .*full.yaml'),
        (['6', '--data', '{data}', '--configs', '{empty}'], 'full.yaml: no such configuration'),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / 'empty').mkdir()
    if '--configs' not in arguments:
        arguments = [*arguments, '--configs', str(ROOT / 'training' / 'configs' / 'ablations')]
    monkeypatch.chdir(tmp_path)
    places = {'data': data, 'empty': tmp_path / 'empty'}
    assert main([text.format(**places) for text in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert '\n' not in error
    assert re.search(message, error), error


def test_flags_of_the_evaluation_are_checked_before_anything_runs(data: Path) -> None:
    with pytest.raises(SystemExit):
        main(['7', '--data', str(data), '--checkpoint', CHECKPOINT, '--limits', '2'])


@pytest.mark.parametrize(
    'flag', ['--split=val', '--annotations=other.json', '--predictions=p.json', '--instructsam.ablation=no_phrase']
)
def test_flags_that_the_table_sets_are_refused(data: Path, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert main(['7', '--data', str(data), '--checkpoint', CHECKPOINT, flag]) == 2
    assert f'{flag.partition("=")[0]}: expected no such flag; table 7 sets it' in capsys.readouterr().err


def test_data_are_folders_named_like_their_benchmarks(data: Path) -> None:
    assert parse_data([str(data)], TABLES[2]) == {'inst2seg': data / 'inst2seg'}
    elsewhere = parse_data([str(data), f'reasonseg={data}'], TABLES[2])
    assert elsewhere == {'inst2seg': data / 'inst2seg', 'reasonseg': data}


def test_trained_rows_take_the_checkpoint_of_their_configuration(uninterrupted: Path, tmp_path: Path) -> None:
    file = write_run(tmp_path)
    row = Row('other', 'other', config=file.name)
    found, advice = find_checkpoint(row, {}, tmp_path, [f'out={uninterrupted}'], train=False)
    assert (found, advice) == (str(uninterrupted / 'one' / 'merged'), '')
    found, advice = find_checkpoint(row, {}, tmp_path, [], train=False)
    assert not found
    assert advice == f'train it with --train, or: instructsam-train {file}'
    given = parse_checkpoints(['queries_50=somewhere'], 'all', TABLES[6])
    assert given == {'full': 'all', 'queries_50': 'somewhere'}
    assert find_checkpoint(TABLES[6].rows[1], given, tmp_path, [], train=False) == ('somewhere', '')
    # Of a table whose rows change the inference alone, one checkpoint is that of all rows.
    assert parse_checkpoints([], 'all', TABLES[7]) == {'full': 'all', 'no_phrase': 'all', 'no_queries': 'all'}


def test_help_lists_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(['--help'])
    text = ' '.join(capsys.readouterr().out.split())
    assert all(f'{number}: {table.title}' in text for number, table in TABLES.items())


@pytest.mark.slow
def test_models_are_trained_and_evaluated_by_one_command(data: Path, tmp_path: Path) -> None:
    for name in ('full', 'no_stage1'):
        write_run(tmp_path, 'one').rename(tmp_path / f'{name}.yaml')
    arguments = ['9', '--data', str(data), '--configs', str(tmp_path), '--train', '--set', 'stages.0.steps=2']
    assert main([*arguments, '--out', str(tmp_path / 'table'), *FLAGS]) == 0
    rows = json.loads((tmp_path / 'table' / 'table.json').read_text())['rows']
    assert [row['checkpoint'] for row in rows] == [str(tmp_path / 'run' / 'one' / 'merged')] * 2
