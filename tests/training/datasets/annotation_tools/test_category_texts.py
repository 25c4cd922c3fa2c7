"""Names of categories as phrases, and the questions about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.annotation_tools.category_texts import (
    CategoryTexts,
    Questions,
    check_texts,
    own_name,
    read_texts,
)

MASK = encode_rle(np.ones((2, 3), dtype=bool))


@pytest.mark.parametrize(
    ('name', 'spoken'),
    [
        ('red_apple', 'red apple'),
        ('red-apple', 'red apple'),
        ('RedApple', 'red apple'),
        ('T-shirt', 't-shirt'),
        ('x-ray', 'x-ray'),
        ('  Traffic  Light ', 'traffic light'),
        ('cup/mug', 'cup or mug'),
        ('USB cable', 'usb cable'),
        ('class_0', 'class 0'),
        ('Äpfel', 'äpfel'),
    ],
)
def test_names_become_phrases(name: str, spoken: str) -> None:
    assert own_name({'id': 1, 'name': name}) == spoken


def test_texts_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / 'texts.yaml'
    file.write_text(
        'class_0: gear wheel\nRed-Apple: {names: [ripe apple], instructions: ["Which fruit is red?", " Eat it. "]}\n'
    )
    assert read_texts(file) == {
        'class 0': CategoryTexts('gear wheel'),
        'red apple': CategoryTexts('red apple', ('ripe apple',), ('Which fruit is red?', 'Eat it.')),
    }


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', 'expected category: name'),
        ('- mug', 'expected category: name'),
        ('mug: [cup]', 'mug: expected a name, or name, names, instructions'),
        ('mug: {nme: cup}', 'mug: expected a name, or name, names, instructions'),
        ('mug: {names: cup}', "mug: names: expected text, got 'cup'"),
        ('mug: {instructions: [1]}', 'mug: instructions: expected text'),
        ('mug: {name: ""}', 'mug: name: expected text'),
        ('mug: ""', 'mug: expected a name'),
        ('red_mug: a\nred-mug: b', 'red-mug: this category stands here twice'),
        ('mug: {', 'expected YAML'),
    ],
)
def test_wrong_files_of_texts(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'texts.yaml').write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_texts(tmp_path / 'texts.yaml')


def test_texts_of_no_category_are_an_error_and_numbers_as_names_are_counted() -> None:
    report = SkipReport()
    with pytest.raises(ConfigError, match=r"'mag': expected one of the categories class 0, mug"):
        check_texts({'mag': CategoryTexts('cup')}, ['mug', 'class 0'], report)
    check_texts({}, ['mug', 'class 0', '7', 'object3', 'channel 7 logo'], report)
    assert report.notes['categories whose names say nothing; give them others with --texts'] == 3
    check_texts({'class 0': CategoryTexts('gear')}, ['class 0'], named_well := SkipReport())
    assert not named_well.notes


def test_questions_about_a_sample() -> None:
    texts = {'class 0': CategoryTexts('gear', ('cogwheel',), ('Which part turns?',))}
    known = ['bolt', 'class 0', 'nut', 'washer']
    sample = Sample(Path('a.jpg'), (2, 3), (named('class 0', (MASK,)), named('bolt', (MASK,), box_only=True)), id='1')
    [asked] = Questions(texts, known, absent=1, seed=3).apply([sample])
    assert asked.annotations[:4] == (
        named('gear', (MASK,)),
        named('cogwheel', (MASK,)),
        Annotation('sentence', 'Which part turns?', 'gear', (MASK,)),
        named('bolt', (MASK,), box_only=True),
    )
    [absent] = asked.annotations[4:]
    assert (absent.text in ('nut', 'washer'), absent.masks) == (True, ())
    # The same in every conversion; more than there are is all of them.
    assert [*Questions(texts, known, absent=1, seed=3).apply([sample])] == [asked]
    shared = {'nut': CategoryTexts('gear'), **texts}
    [contradicting] = Questions(shared, known, absent=9).apply([sample])
    assert [each.text for each in contradicting.annotations if not each.masks] == ['washer']
    [all_asked] = Questions(texts, known, absent=9).apply([sample])
    assert {each.text for each in all_asked.annotations[4:]} == {'nut', 'washer'}
