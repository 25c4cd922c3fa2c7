"""Texts of three levels about hand-made views. Covers query_builders.py too."""

from __future__ import annotations

from random import Random

import pytest

from instructsam_training.datasets.hmpl.naming import names_any
from instructsam_training.tabletop.language.level_texts import LEVELED_KINDS, LeveledTarget, sample_leveled
from instructsam_training.tabletop.scene.catalog import CATALOG
from tests.support.handmade_view import Placed, make_view

VIEW = make_view(
    Placed('red', 'mug', -0.3, 0.0),
    Placed('blue', 'mug', 0.0, 0.0),
    Placed('blue', 'mug', 0.3, 0.05, scale=1.5),
    Placed('green', 'book', 0.0, 0.25),
    Placed('yellow', 'hammer', -0.3, 0.25),
)
NAMES = {1: 'mug', 2: 'mug', 3: 'mug', 4: 'book', 5: 'hammer'}


@pytest.fixture(scope='module')
def targets() -> list[LeveledTarget]:
    return [target for seed in range(12) for target in sample_leveled(VIEW, Random(seed), 'train', 8)]


def test_simple_texts_name_the_target_and_complex_ones_do_not(targets: list[LeveledTarget]) -> None:
    for target in targets:
        # Of a group, such as tools, the simple texts have its name; a plural such as knives is irregular.
        names = [target.concept, *(NAMES[label] for label in target.targets)]
        names += [CATALOG[name].plural for name in names if name in CATALOG]
        assert all(names_any(text, names) for text in target.simple), target
        assert not any(names_any(text, names) for text in target.complex), target
    assert {target.kind for target in targets} == {*LEVELED_KINDS, 'none'}


def test_concepts_are_names_of_categories_without_attributes(targets: list[LeveledTarget]) -> None:
    found = {target.concept for target in targets if target.targets}
    assert {'mugs', 'book', 'hammer'} <= found <= {'mugs', 'book', 'hammer', 'tool'}


def test_instructions_select_some_of_the_concept(targets: list[LeveledTarget]) -> None:
    by_target = {target.targets: target for target in targets if target.concept == 'mugs'}
    assert {(1,), (3,), (2, 3), (1, 2, 3)} <= by_target.keys()
    blue = next(target for target in targets if target.kind == 'attribute' and target.targets == (2, 3))
    assert all(names_any(text, ['blue']) for text in (*blue.simple, *blue.complex))


def test_texts_of_a_target_differ_and_the_same_seed_gives_the_same(targets: list[LeveledTarget]) -> None:
    assert all(len(set(texts)) == len(texts) >= 1 for each in targets for texts in (each.simple, each.complex))
    assert sample_leveled(VIEW, Random(3), 'train', 4) == sample_leveled(VIEW, Random(3), 'train', 4)
    assert sample_leveled(make_view(), Random(0), 'train', 4) == []


def test_splits_share_no_text() -> None:
    texts = {
        split: {
            text
            for seed in range(6)
            for target in sample_leveled(VIEW, Random(seed), split, 8)
            for text in (*target.simple, *target.complex)
        }
        for split in ('train', 'test')
    }
    assert texts['train']
    assert not texts['train'] & texts['test']
