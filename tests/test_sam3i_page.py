"""docs/sam3i.md: every fault has a test that exists, and the published numbers are those of the benchmarks."""

from __future__ import annotations

import ast
import re

import pytest

from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.published import ALL
from tests.support import ROOT

TEXT = (ROOT / 'docs' / 'sam3i.md').read_text()
TESTS = sorted({*re.findall(r'`(tests/[\w/]+\.py): (test_\w+)`', TEXT)})


@pytest.mark.parametrize(('file', 'name'), TESTS)
def test_named_tests_exist(file: str, name: str) -> None:
    functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name in functions


def test_every_fault_has_a_row() -> None:
    rows = re.findall(r'^\| (\d+) \|(.*)\|$', TEXT, re.MULTILINE)
    assert [int(number) for number, _ in rows] == [*range(1, 20)]
    assert all(len(cells.split(' | ')) == 3 for _, cells in rows)


@pytest.mark.parametrize('level', ['simple', 'complex'])
@pytest.mark.parametrize('part', ['1to1', '1toN', '1toAll'])
def test_published_numbers_are_those_of_the_benchmarks(part: str, level: str) -> None:
    numbers = BENCHMARKS[f'hmpl_{part}'].published[level][0].numbers[ALL]
    assert f'| v4 | HMPL-Instruct, {part} | {level} | {numbers["gIoU"]} | {numbers["P@50"]} |' in TEXT
