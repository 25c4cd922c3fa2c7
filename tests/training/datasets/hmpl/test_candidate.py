import json
from dataclasses import replace

import pytest

from instructsam_training.datasets.hmpl.candidate import MAX_ROUNDS, Candidate, from_record, to_record
from instructsam_training.datasets.io.sam3i_file import LevelTexts

TEXTS = LevelTexts(('mug',), ('the left mug',), ('what holds the coffee',))
NEW = Candidate('7/mug/1', 'a.jpg', (4, 6), 'mug', (1,), (1, 2))


def test_a_candidate_is_accepted_when_the_checker_finds_nothing():
    checking = NEW.written(TEXTS, ('the left fork',))
    assert (checking.state, checking.rounds, checking.cardinality) == ('checking', 1, '1to1')
    assert checking.checked(()) == replace(checking, state='accepted')


def test_after_ten_failed_rounds_people_decide():
    candidate, states = NEW, []
    for _ in range(MAX_ROUNDS):
        candidate = candidate.written(TEXTS).checked(('simple: wrong number',))
        states.append(candidate.state)
    assert states == ['writing'] * 9 + ['review']
    assert candidate.failures == ('simple: wrong number',)
    corrected = LevelTexts(('mug',), ('the mug at the left edge',))
    accepted = candidate.reviewed(corrected)
    assert (accepted.state, accepted.texts, accepted.failures) == ('accepted', corrected, ())
    assert candidate.reviewed(None).state == 'deleted'


def test_steps_out_of_order_and_candidates_without_texts_are_refused():
    with pytest.raises(ValueError, match='expected the state checking, it is writing'):
        NEW.checked(())
    with pytest.raises(ValueError, match='expected the state review'):
        NEW.reviewed(TEXTS)
    with pytest.raises(ValueError, match='expected an instruction'):
        NEW.written(LevelTexts(('mug',)))
    with pytest.raises(ValueError, match='of another'):
        replace(NEW, targets=(9,))


def test_records_are_read_back():
    candidate = NEW.written(TEXTS, ('the left fork',)).checked(('complex: names the class',))
    record = json.loads(json.dumps(to_record(candidate)))
    assert from_record(record) == candidate
    assert (record['cardinality'], record['height'], record['width']) == ('1to1', 4, 6)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'texts': None}, 'texts: expected an object'),
        ({'texts': {'concept': [], 'simple': [3], 'complex': []}}, 'simple: expected texts'),
        ({'rounds': -1}, 'rounds'),
        ({'targets': 1}, 'targets: expected a list'),
        ({'state': 'done'}, 'state: expected writing'),
        ({'cardinality': '1toN'}, 'cardinality: expected 1to1'),
        ({'class_name': ''}, 'class_name'),
    ],
)
def test_damaged_records(changes, words):
    record = json.loads(json.dumps(to_record(NEW))) | changes
    with pytest.raises(ValueError, match=words):
        from_record(record)
