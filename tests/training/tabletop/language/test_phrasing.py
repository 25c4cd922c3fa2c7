"""Words of scene queries: slots, grammatical number, and fixed phrases."""

from __future__ import annotations

from random import Random

import pytest

from instructsam_training.tabletop.language.nouns import Noun
from instructsam_training.tabletop.language.phrasing import answer_phrase, instruction_text, multi_phrase_text
from instructsam_training.tabletop.language.scene_query import SceneQuery, matching
from instructsam_training.tabletop.language.sentence_templates import Split

MUG = Noun('mug', 'red')
LEFT = SceneQuery('left', matching(MUG), MUG, {'a': 'bowl'})


@pytest.mark.parametrize(('is_plural', 'phrase'), [(False, 'red mug left of bowl'), (True, 'red mugs left of bowl')])
def test_phrase_has_the_grammatical_number_of_the_targets(is_plural: bool, phrase: str) -> None:
    assert answer_phrase(LEFT, is_plural=is_plural) == phrase


@pytest.mark.parametrize('split', ['train', 'test'])
def test_instructions_are_complete_sentences_with_varying_words(split: Split) -> None:
    texts = {instruction_text(LEFT, split, Random(seed), is_plural=False) for seed in range(50)}
    assert len(texts) > 10
    for text in texts:
        assert text.endswith(('.', '?'))
        assert 'red mug' in text
        assert 'the bowl' in text
        assert '{' not in text


def test_verb_agrees_with_the_subject() -> None:
    query = SceneQuery('all', matching(Noun('mug')), Noun('mug'))
    texts = {instruction_text(query, 'train', Random(seed), is_plural=True) for seed in range(2000)}
    assert any('are all mugs' in text for text in texts)
    assert any('is every mug' in text for text in texts)
    assert not any('is all mugs' in text or 'are every mug' in text for text in texts)


def test_several_phrases_are_listed() -> None:
    assert 'the red mug and the bowl' in multi_phrase_text(['red mug', 'bowl'], 'test', Random(0))
    assert 'the mug, the cup and the bowl' in multi_phrase_text(['mug', 'cup', 'bowl'], 'test', Random(0))
