"""docs/paper.md: every file, symbol, key and configuration that it names exists, and no difference is left out."""

from __future__ import annotations

import ast
import dataclasses
import re
from functools import cache
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

from instructsam_training.config.options import TrainConfig
from instructsam_training.tables.paper import TABLES
from tests.support import ROOT

TEXT = (ROOT / 'docs' / 'paper.md').read_text()
ROOMS = {'M': ROOT / 'model' / 'instructsam_model', 'T': ROOT / 'training' / 'instructsam_training'}
SYMBOLS = sorted({*re.findall(r'`([MT])/([\w/]+\.py): ([\w.]+)`', TEXT)})
KEYS = sorted({*re.findall(r'`((?:stages\.0|start)\.[\w.]+|precision|seed|shard|stages)`', TEXT)})


@cache
def names_in(file: str) -> frozenset[str]:
    """The names that a module defines, those of classes as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        found |= names_of(node)
        if isinstance(node, ast.ClassDef):
            found |= {f'{node.name}.{name}' for child in node.body for name in names_of(child)}
    return frozenset(found)


def names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, 'target', None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize(('room', 'file', 'symbol'), SYMBOLS)
def test_files_and_symbols_exist(room: str, file: str, symbol: str) -> None:
    assert symbol in names_in(str((ROOMS[room] / file).relative_to(ROOT)))


@pytest.mark.parametrize('key', KEYS)
def test_keys_are_settings_of_a_run(key: str) -> None:
    kind: Any = TrainConfig
    for part in key.replace('stages.0', 'stages').split('.'):
        kind = get_type_hints(kind)[part]
        kind = next((each for each in get_args(kind) if dataclasses.is_dataclass(each)), kind)
        assert not isinstance(kind, UnionType) or part == 'num_queries' or part == 'points', key


def test_enough_is_named() -> None:
    assert len(SYMBOLS) > 15
    assert len(KEYS) > 25


def test_configurations_exist() -> None:
    named = re.findall(r'`(?:training/configs/)?([\w/-]+\.(?:yaml|txt))`', TEXT)
    assert len(named) > 5
    for name in named:
        assert (ROOT / 'training' / 'configs' / name).is_file(), name


def test_every_table_has_a_row_and_a_command() -> None:
    for number in (1, *TABLES, 11):
        assert re.search(rf'^\| {number} \|', TEXT, re.MULTILINE), number
    assert {int(number) for number in re.findall(r'instructsam_training\.tables (\d+)', TEXT)} >= {*TABLES}


@pytest.mark.parametrize(
    'fact',
    [
        '12,544',
        '256 in section 5.1, 64 in Table 11',
        'queries of their own block',
        'the annotation is left out',
        'at least 0.1',
        'applied twice: 4, 0.25',
        'M-RoPE',
        'not zero-shot',
        'Eq. 7',
    ],
)
def test_differences_are_said(fact: str) -> None:
    assert fact in TEXT
