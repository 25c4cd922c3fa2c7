"""The tables of the paper: every number can be measured, and the known ones agree with each other.

Covers tables/table.py.
"""

from __future__ import annotations

import pytest

from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.instructsam.variant import Variant
from instructsam_training.config.config_file import read_config
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.published import ALL
from instructsam_training.tables.layout import published, published_methods
from instructsam_training.tables.paper import TABLES
from instructsam_training.tables.table import FULL, LATENCY, Column
from tests.support import ROOT

CONFIGS = ROOT / 'training' / 'configs'
STRATA = {
    'inst2seg': {'0', '1', '>=2'},
    'reasonseg': {'short', 'long'},
    'gseval': {'stuff', 'part', 'multi', 'single'},
    'grefcoco': set(),
    'roborefit': set(),
}


def mixture(name: str) -> list[str]:
    lines = (CONFIGS / name).read_text().splitlines()
    return [line for line in lines if not line.startswith('#')]


def column_of(table: int, heading: str) -> Column:
    return next(column for column in TABLES[table].columns if column.heading == heading)


@pytest.mark.parametrize('table', TABLES.values(), ids=str)
def test_every_column_is_a_metric_of_a_benchmark(table: int) -> None:
    headings = [column.heading for column in table.columns]
    assert len({*headings}) == len(headings)
    for part in (part for column in table.columns for part in column.parts):
        benchmark = BENCHMARKS[part.benchmark]
        assert part.split in benchmark.splits
        assert part.metric in benchmark.metrics
        assert part.stratum == ALL or part.stratum in STRATA[part.benchmark]
    for row in table.rows:
        assert {*row.published} <= {*table.headings}
        InstructSAMOptions(**row.options)


def test_the_tables_are_those_that_report_results() -> None:
    assert [*TABLES] == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_instructions_are_reported_with_short_and_long_queries() -> None:
    headings = [column.heading for column in TABLES[2].columns]
    assert {f'ReasonSeg test {length} {metric}' for length in ('short', 'long') for metric in ('gIoU', 'cIoU')} < {
        *headings
    }
    agent = published_methods(TABLES[2])['SAM3-Agent (Qwen2.5-VL-7B)']
    assert published(agent, column_of(2, 'ReasonSeg test short cIoU')) == 43.5
    assert published(agent, column_of(2, 'ReasonSeg test long gIoU')) == 64.1
    # Another paper's methods are not those of the table.
    assert {*published_methods(TABLES[2])} == {
        'InstructSAM-2B',
        'SAM3-Agent (Qwen3-VL-2B)',
        'SAM3-Agent (Qwen2.5-VL-3B)',
        'SAM3-Agent (Qwen2.5-VL-7B)',
    }


@pytest.mark.parametrize(('table', 'heading'), [(5, 'gRefCOCO'), (8, 'ReasonSeg cIoU'), (8, 'ReasonSeg gIoU')])
def test_averages_of_the_paper_are_those_of_its_own_numbers(table: int, heading: str) -> None:
    parts = column_of(table, heading).parts
    numbers = []
    for part in parts:
        [ours] = [each for each in BENCHMARKS[part.benchmark].published[part.split] if each.method == 'InstructSAM-2B']
        numbers.append(ours.numbers[part.stratum][part.metric])
    assert TABLES[table].rows[0].published[heading] == pytest.approx(sum(numbers) / 2, abs=0.06)


def test_the_number_of_queries_is_10_50_and_200() -> None:
    counts = []
    for row in TABLES[6].rows:
        counts.append(read_config(CONFIGS / 'ablations' / row.config).start.num_queries or 10)
    assert counts == [10, 50, 200]
    assert [row.published[LATENCY] for row in TABLES[6].rows] == [1.1, 1.4, 2.1]


def test_phrase_and_queries_are_removed_at_inference_of_one_checkpoint() -> None:
    full, *ablations = TABLES[7].rows
    assert not full.options
    assert not any(row.config for row in TABLES[7].rows)
    assert [row.options for row in ablations] == [{'ablation': 'no_phrase'}, {'ablation': 'no_queries'}]
    assert [row.published['mAP'] for row in TABLES[7].rows] == [31.5, pytest.approx(31.5 - 2.4), 16.7]


@pytest.mark.parametrize('folder', ['ablations', 'tabletop-ablations'])
def test_trained_rows_differ_from_the_full_model_in_one_thing(folder: str) -> None:
    files = {file.stem for file in (CONFIGS / folder).glob('*.yaml')}
    rows = {row.name for table in TABLES.values() for row in table.rows if row.config}
    assert files == rows if folder == 'ablations' else files == rows - {'no_inst2seg', 'unfiltered_inst2seg'}
    full = read_config(CONFIGS / folder / 'full.yaml')
    changes = {
        'no_query_bank': ({'variant': Variant(query_bank=False, hybrid_attention=False)}, full.stages),
        'no_hybrid_attention': ({'variant': Variant(hybrid_attention=False)}, full.stages),
        'queries_50': ({'num_queries': 50}, full.stages),
        'queries_200': ({'num_queries': 200}, full.stages),
        'no_stage1': ({}, full.stages[1:]),
    }
    for name, (start, stages) in changes.items():
        config = read_config(CONFIGS / folder / f'{name}.yaml')
        assert vars(config.start) == vars(full.start) | start, name
        assert config.stages == stages, name
        assert config.out != full.out


def test_rows_without_inst2seg_and_without_filters_differ_in_the_data_of_stage_2_alone() -> None:
    full = read_config(CONFIGS / 'ablations' / 'full.yaml')
    whole = mixture('stage2.txt')
    for name in ('no_inst2seg', 'unfiltered_inst2seg'):
        config = read_config(CONFIGS / 'ablations' / f'{name}.yaml')
        assert config.stages[0] == full.stages[0]
        data = {**vars(config.stages[1].data), 'mixture': full.stages[1].data.mixture}
        assert data == vars(full.stages[1].data)
        assert {**vars(config.stages[1]), 'data': None} == {**vars(full.stages[1]), 'data': None}
    assert mixture('ablations/stage2-no_inst2seg.txt') == [line for line in whole if line != 'inst2seg']
    unfiltered = mixture('ablations/stage2-unfiltered_inst2seg.txt')
    assert [line.replace('inst2seg_unfiltered', 'inst2seg') for line in unfiltered] == whole != unfiltered


def test_the_first_row_is_the_whole_method() -> None:
    assert {table.rows[0].name for table in TABLES.values()} == {FULL}
