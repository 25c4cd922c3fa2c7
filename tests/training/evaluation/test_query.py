"""Queries: prompts, shuffled instructions, and groups by image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample
from instructsam_training.evaluation.query import (
    Query,
    group_by_image,
    queries_of,
    with_prompt,
    with_shuffled_texts,
)

MakeQuery, MakeMask = Callable[..., Query], Callable[[int, int], Rle]


def test_one_query_for_each_annotation(pixels: MakeMask) -> None:
    annotations = (Annotation('phrase', 'cup', 'cup', (pixels(0, 5),)), Annotation('sentence', 'Which?', 'none'))
    sample = Sample(Path('a.png'), (1, 100), annotations, source='file[7]', id='7')
    first, second = queries_of([sample], lambda sample, annotation: annotation.kind)
    assert (first.id, first.text, first.targets, first.group) == ('7.0', 'cup', (pixels(0, 5),), 'phrase')
    assert (second.id, second.kind, second.targets) == ('7.1', 'sentence', ())


def test_prompt_replaces_the_text_alone(query: MakeQuery, pixels: MakeMask) -> None:
    original = query('a', pixels(0, 5))
    [prompted] = with_prompt([original], lambda kind, text: f'{kind}: {text}')
    assert prompted.text == 'phrase: thing a'
    assert (prompted.id, prompted.targets) == (original.id, original.targets)


def test_group_by_image_keeps_the_order(query: MakeQuery) -> None:
    queries = [query(name, image=Path(image)) for name, image in (('a', 'x'), ('b', 'y'), ('c', 'x'))]
    assert [[each.id for each in group] for group in group_by_image(queries)] == [['a', 'c'], ['b']]


def test_shuffled_instructions_are_of_other_queries(query: Callable[..., Query], pixels: MakeMask) -> None:
    queries = [query(number, pixels(number, 1)) for number in range(20)]
    shuffled = with_shuffled_texts(queries, seed=3)
    assert all(new.text != old.text for new, old in zip(shuffled, queries, strict=True))
    assert sorted(each.text for each in shuffled) == sorted(each.text for each in queries)
    assert [(each.id, each.targets) for each in shuffled] == [(each.id, each.targets) for each in queries]
    assert with_shuffled_texts(queries, seed=3) == shuffled
    assert with_shuffled_texts(queries, seed=4) != shuffled


def test_shuffling_needs_two_queries(query: MakeQuery) -> None:
    with pytest.raises(ConfigError, match='expected at least two queries, got 1'):
        with_shuffled_texts([query('a')], seed=0)
