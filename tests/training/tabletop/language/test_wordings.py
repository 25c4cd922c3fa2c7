"""Wordings of the two splits: none in both, no word that only tests have, and few words in all."""

from __future__ import annotations

import re
from itertools import product
from random import Random

from instructsam_training.tabletop.language.captions import captions
from instructsam_training.tabletop.language.nouns import GROUPS, USES
from instructsam_training.tabletop.language.sentence_templates import FRAMES, Split
from instructsam_training.tabletop.language.wordings import PHRASES, TEST, TRAIN, WORDINGS
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, MATERIALS
from tests.support.hand_made import Put, look_at


def whole(split: Split) -> set[str]:
    """Every wording with every sentence that it may stand in."""
    wordings = {wording for wordings in WORDINGS[split].values() for wording in wordings}
    sentences = {wording for wording in wordings if wording.endswith(('.', '?'))}
    framed = {frame.replace('{it}', wording) for frame, wording in product(FRAMES[split], wordings - sentences)}
    return sentences | framed


def words(texts: set[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r'[a-z]+', re.sub(r'{\w+}', ' ', text.lower()))}


def test_no_wording_of_a_test_is_one_of_training() -> None:
    assert len(whole('test')) > 100
    assert not whole('test') & whole('train')
    assert not set(FRAMES['test']) & set(FRAMES['train'])
    assert not {verb for use in USES for verb in use.test} & {verb for use in USES for verb in use.train}


def test_every_construction_has_wordings_and_a_phrase() -> None:
    assert TRAIN.keys() == TEST.keys()
    assert TRAIN.keys() - {'two', 'several'} == PHRASES.keys()


def test_training_says_everything_in_several_ways() -> None:
    # With two or three wordings of each the language model wrote 96 % of the phrases of training, and 50 % of tests'.
    assert {
        construction: len(set(wordings)) for construction, wordings in TRAIN.items() if len(set(wordings)) < 3
    } == {}


def test_tests_have_no_word_that_training_has_not() -> None:
    train = words(whole('train')) | words({verb for use in USES for verb in use.train})
    named = words({category.name for category in CATALOG.values()} | {category.plural for category in CATALOG.values()})
    test = words(whole('test')) | words({verb for use in USES for verb in use.test})
    assert test - train - named == set()


def test_words_are_few() -> None:
    view = look_at(*(Put(color, category, 0.1 * x, 0.1 * y) for x, y, color, category in SCATTERED))
    asked = {
        text
        for seed in range(100)
        for each in captions(view, Random(seed), 10)
        for text in (each.question, each.answer)
    }
    known = words(whole('train') | whole('test') | asked)
    known |= words({verb for use in USES for verb in (*use.train, *use.test, use.phrase)})
    known |= words({form for category in CATALOG.values() for form in (category.name, category.plural)})
    known |= {*COLORS, *MATERIALS, *GROUPS}
    assert 150 < len(known) < 400


SCATTERED = [(-2, -1, 'red', 'mug'), (0, 1, 'blue', 'box'), (2, -1, 'green', 'ball')]


def test_every_use_is_of_known_categories() -> None:
    served = {category for use in USES for category in use.categories}
    assert served | {'box'} == CATALOG.keys()
    assert {category for members, arguable in GROUPS.values() for category in members | arguable} <= CATALOG.keys()
