"""Wordings of both splits: no wording in common, no additional word in tests, a small vocabulary."""

from __future__ import annotations

import re
from itertools import product
from random import Random

from instructsam_training.tabletop.language.captions import sample_captions
from instructsam_training.tabletop.language.nouns import GROUPS, USES
from instructsam_training.tabletop.language.sentence_templates import TEMPLATES, Split
from instructsam_training.tabletop.language.wordings import PHRASES, TEST, TRAIN, WORDINGS
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, MATERIALS
from tests.support.handmade_view import Placed, make_view


def all_sentences(split: Split) -> set[str]:
    """All wordings in all sentence templates."""
    wordings = {wording for wordings in WORDINGS[split].values() for wording in wordings}
    sentences = {wording for wording in wordings if wording.endswith(('.', '?'))}
    completed = {
        template.replace('{it}', wording) for template, wording in product(TEMPLATES[split], wordings - sentences)
    }
    return sentences | completed


def words(texts: set[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r'[a-z]+', re.sub(r'{\w+}', ' ', text.lower()))}


def test_splits_have_no_wording_in_common() -> None:
    assert len(all_sentences('test')) > 100
    assert not all_sentences('test') & all_sentences('train')
    assert not set(TEMPLATES['test']) & set(TEMPLATES['train'])
    assert not {verb for use in USES for verb in use.test} & {verb for use in USES for verb in use.train}


def test_all_constructions_have_wordings_and_a_phrase() -> None:
    assert TRAIN.keys() == TEST.keys()
    assert TRAIN.keys() - {'two', 'several'} == PHRASES.keys()


def test_training_has_several_wordings_of_each_construction() -> None:
    # With two or three wordings each, the model wrote 96 % of the training phrases and 50 % of the test phrases.
    assert {
        construction: len(set(wordings)) for construction, wordings in TRAIN.items() if len(set(wordings)) < 3
    } == {}


def test_test_words_also_occur_in_training() -> None:
    train = words(all_sentences('train')) | words({verb for use in USES for verb in use.train})
    named = words({category.name for category in CATALOG.values()} | {category.plural for category in CATALOG.values()})
    test = words(all_sentences('test')) | words({verb for use in USES for verb in use.test})
    assert test - train - named == set()


def test_vocabulary_is_small() -> None:
    view = make_view(*(Placed(color, category, 0.1 * x, 0.1 * y) for x, y, color, category in SCATTERED))
    asked = {
        text
        for seed in range(100)
        for each in sample_captions(view, Random(seed), 10)
        for text in (each.question, each.answer)
    }
    known = words(all_sentences('train') | all_sentences('test') | asked)
    known |= words({verb for use in USES for verb in (*use.train, *use.test, use.phrase)})
    known |= words({form for category in CATALOG.values() for form in (category.name, category.plural)})
    known |= {*COLORS, *MATERIALS, *GROUPS}
    assert 150 < len(known) < 400


SCATTERED = [(-2, -1, 'red', 'mug'), (0, 1, 'blue', 'box'), (2, -1, 'green', 'ball')]


def test_uses_have_known_categories() -> None:
    served = {category for use in USES for category in use.categories}
    assert served | {'box'} == CATALOG.keys()
    assert {category for members, arguable in GROUPS.values() for category in members | arguable} <= CATALOG.keys()
