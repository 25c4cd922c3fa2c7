"""SAM3-I's annotation files as a data set, and conversion to them. Covers datasets/io/level_entries.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.level_entries import level_entries, write_level_entries
from instructsam_training.datasets.io.sam3i_file import LevelTexts, read_sam3i_file
from instructsam_training.datasets.sam3i import read_sam3i


def column(number: int) -> Rle:
    mask = np.zeros((4, 6), dtype=bool)
    mask[:, number] = True
    return encode_rle(mask)


def sentence(text: str, *masks: Rle, **more) -> Annotation:
    return Annotation('sentence', text, more.pop('phrase', 'target'), masks, **more)


def entries(*annotations: Annotation, report: SkipReport | None = None, **more) -> list[tuple[LevelTexts, int]]:
    sample = Sample(Path('images/a.jpg'), (4, 6), annotations)
    found = level_entries(sample, SkipReport() if report is None else report, **more)
    return [(entry.texts, len(entry.masks)) for entry in found]


def test_texts_of_several_levels_about_the_same_instances_are_one_entry():
    found = entries(
        named('cup', (column(0), column(1))),
        sentence('both cups', column(1), column(0), level='simple'),
        sentence('hold my coffee', column(0), column(1), level='complex'),
        sentence('the left cup', column(0), level='simple', concept='cup'),
    )
    assert found == [
        (LevelTexts(('cup',), ('both cups',), ('hold my coffee',)), 2),
        (LevelTexts(('cup',), ('the left cup',)), 1),
    ]


def test_expressions_of_one_level_are_entries_of_their_own_as_are_those_without_a_target():
    left = [sentence(text, column(0), level='simple') for text in ('the left cup', 'cup near the wall')]
    none = [sentence(text, level=level) for text, level in (('a dog', 'simple'), ('what barks', 'complex'))]
    texts = [texts for texts, _ in entries(*left, *none)]
    assert texts == [
        LevelTexts(simple=('the left cup',)),
        LevelTexts(simple=('cup near the wall',)),
        LevelTexts(simple=('a dog',)),
        LevelTexts(complex=('what barks',)),
    ]


def test_answers_are_concepts_except_for_placeholders_and_lists():
    several = sentence('both', column(0), phrase='cup', additional_phrases=(named('mug', (column(1),)),))
    found = entries(sentence('x', column(2), phrase='knife'), several, sentence_level='complex')
    assert found == [(LevelTexts(('knife',), (), ('x',)), 1), (LevelTexts((), (), ('both',)), 2)]


def test_the_level_of_instructions_has_to_be_known():
    with pytest.raises(ConfigError, match='--level'):
        entries(sentence('take it', column(0)))


def test_boxes_captions_and_written_texts_have_no_place_and_are_counted():
    report = SkipReport()
    others = [Annotation('caption', 'How many?', 'two'), Annotation('OCR', 'EXIT', 'EXIT', (column(0),))]
    assert entries(named('cup', (column(0),), box_only=True), *others, report=report) == []
    assert report.notes.total() == 3


def test_what_is_written_is_read_back_as_samples(tmp_path):
    masks, file = (column(0), column(2)), tmp_path / 'sam3i_val.json'
    first = (named('cup', masks), sentence('both cups', *masks, level='simple'))
    samples = [
        Sample(tmp_path / 'a.jpg', (4, 6), first),
        Sample(tmp_path / 'b.jpg', (4, 6), (sentence('what barks', level='complex'),)),
    ]
    write_level_entries(samples, file, tmp_path, SkipReport())
    one, two = read_sam3i(tmp_path, 'val', SkipReport())
    assert (one.image, two.image) == (tmp_path / 'a.jpg', tmp_path / 'b.jpg')
    assert [(each.level, each.text, each.phrase, each.masks) for each in one.annotations] == [
        ('concept', 'cup', 'cup', masks),
        ('simple', 'both cups', 'cup', masks),
    ]
    assert [(each.level, each.phrase, each.masks) for each in two.annotations] == [('complex', 'target', ())]
    again = tmp_path / 'again.json'
    write_level_entries([one, two], again, tmp_path, SkipReport())
    assert again.read_text() == file.read_text()
    assert len(read_sam3i_file(again, SkipReport()).images) == 2
    with pytest.raises(ConfigError, match='ends in'):
        write_level_entries([], tmp_path / 'a.jsonl', tmp_path, SkipReport())


def test_entries_that_cannot_be_used_are_named(tmp_path):
    write_level_entries(
        [Sample(tmp_path / f'{n}.jpg', (4, 6), (named('cup', (column(n),)),)) for n in range(4)],
        tmp_path / 'sam3i_train.json',
        tmp_path,
        SkipReport(),
    )
    content = json.loads((tmp_path / 'sam3i_train.json').read_text())
    content['annotations'][0]['iscrowd'] = 1
    content['annotations'][1]['segmentation'] = {'size': [2, 2], 'counts': [0, 4]}
    del content['images'][2]['text_inst_input']
    (tmp_path / 'sam3i_train.json').write_text(json.dumps(content))
    report = SkipReport()
    assert [sample.image.name for sample in read_sam3i(tmp_path, 'train', report)] == ['3.jpg']
    assert [error.index for error in report.errors] == ['image 2', 'image 3']
    assert report.notes == {'entries with a crowd, left out': 1}
