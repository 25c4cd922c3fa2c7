from dataclasses import replace

import numpy as np
import pytest

from instructsam_model.masks import encode_rle
from instructsam_training.datasets.hmpl.candidate import Candidate
from instructsam_training.datasets.hmpl.review import Decision, apply_decisions, instances_at, review_queue
from instructsam_training.datasets.io.sam3i_file import LevelTexts

TEXTS = LevelTexts(('mug',), ('the left mug',))
WAITING = [
    Candidate(name, file, (4, 6), 'mug', (1,), (1, 2), state='review', rounds=10)
    for name, file in (('b', 'z.jpg'), ('c', 'a.jpg'), ('a', 'a.jpg'))
]


def test_queue_has_what_waits_for_people_by_image():
    others = [replace(WAITING[0], id='d', state='writing'), replace(WAITING[0], id='e', state='deleted')]
    assert [candidate.id for candidate in review_queue([*others, *WAITING])] == ['a', 'c', 'b']


def test_decisions_correct_or_delete():
    decided = apply_decisions(WAITING, [Decision('c', TEXTS, 'ann'), Decision('a', None, 'bob')])
    assert [(candidate.id, candidate.state) for candidate in decided] == [
        ('b', 'review'), ('c', 'accepted'), ('a', 'deleted'),
    ]  # fmt: skip
    assert decided[1].texts == TEXTS
    with pytest.raises(ValueError, match='those of ann and bob'):
        apply_decisions(WAITING, [Decision('c', TEXTS, 'ann'), Decision('c', None, 'bob')])
    with pytest.raises(ValueError, match='known candidates, got some about x'):
        apply_decisions(WAITING, [Decision('x', None, 'bob')])
    with pytest.raises(ValueError, match='expected the state review'):
        apply_decisions(decided, [Decision('a', None, 'bob')])


def test_points_select_instances_and_on_an_overlap_the_smallest():
    masks = {}
    for name, columns in ((5, slice(0, 4)), (6, slice(3, 4)), (7, slice(5, 6))):
        mask = np.zeros((4, 6), dtype=bool)
        mask[:, columns] = True
        masks[name] = encode_rle(mask)
    assert instances_at([(5.9, 3.9), (0, 0), (1.0, 2.0)], masks) == (5, 7)
    assert instances_at([(3.5, 0.0)], masks) == (6,)
    for point in ((4.0, 1.0), (-0.5, 0.0), (0.0, 4.0)):
        with pytest.raises(ValueError, match='is on none'):
            instances_at([(0, 0), point], masks)
    with pytest.raises(ValueError, match='at least one'):
        instances_at([], masks)
