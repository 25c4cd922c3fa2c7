"""Names of objects in hand-made views."""

from __future__ import annotations

from random import Random

from instructsam_training.tabletop.language.names import sample_names
from tests.support.handmade_view import Placed, make_view

TABLE = (
    Placed('red', 'mug', -0.35, 0.0),
    Placed('blue', 'mug', 0.0, -0.1),
    Placed('green', 'bowl', 0.3, 0.1),
)


def test_name_of_all_objects_is_first_and_all_names_have_their_targets() -> None:
    for seed in range(20):
        first, *others = sample_names(make_view(*TABLE), Random(seed), 6)
        assert (first.phrase, first.targets) == ('things', (1, 2, 3))
        for part in others:
            color, _, _ = part.phrase.rpartition(' ')
            expected = [
                label
                for label, obj in enumerate(TABLE, start=1)
                if obj.category in part.phrase or (part.phrase.endswith(('thing', 'things')) and obj.color == color)
            ]
            if color:
                expected = [label for label in expected if TABLE[label - 1].color == color]
            assert list(part.targets) == expected


def test_view_with_a_hardly_visible_object_has_no_name_for_all_objects() -> None:
    hidden = Placed('red', 'ball', 0.3, 0.1, scale=0.6, inside=3, visible=0.1)
    assert all(part.phrase != 'things' for part in sample_names(make_view(*TABLE, hidden), Random(0), 6))
