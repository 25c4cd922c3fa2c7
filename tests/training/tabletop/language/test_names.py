"""Names of what lies on hand-made tables."""

from __future__ import annotations

from random import Random

from instructsam_training.tabletop.language.names import names
from tests.support.hand_made import Put, look_at

TABLE = (Put('red', 'mug', -0.35, 0.0), Put('blue', 'mug', 0.0, -0.1), Put('green', 'bowl', 0.3, 0.1))


def test_all_things_come_first_and_every_name_means_what_it_says() -> None:
    for seed in range(20):
        first, *others = names(look_at(*TABLE), Random(seed), 6)
        assert (first.phrase, first.targets) == ('things', (1, 2, 3))
        for part in others:
            color, _, _ = part.phrase.rpartition(' ')
            expected = [
                label
                for label, put in enumerate(TABLE, start=1)
                if put.category in part.phrase or (part.phrase.endswith(('thing', 'things')) and put.color == color)
            ]
            if color:
                expected = [label for label in expected if TABLE[label - 1].color == color]
            assert list(part.targets) == expected


def test_a_table_of_which_little_is_seen_has_no_name_for_all_things() -> None:
    hidden = Put('red', 'ball', 0.3, 0.1, scale=0.6, inside=3, visible=0.1)
    assert all(part.phrase != 'things' for part in names(look_at(*TABLE, hidden), Random(0), 6))
