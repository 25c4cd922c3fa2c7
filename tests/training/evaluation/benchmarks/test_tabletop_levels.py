import numpy as np
import pytest
from PIL import Image

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import LevelTexts
from instructsam_training.datasets.io.sam3i_writer import open_sam3i_file
from instructsam_training.evaluation.benchmarks import BENCHMARKS

LEVELS = BENCHMARKS['tabletop_levels']


def column(number: int) -> Rle:
    mask = np.zeros((4, 6), dtype=bool)
    mask[:, number] = True
    return encode_rle(mask)


@pytest.fixture
def folder(tmp_path):
    Image.new('RGB', (6, 4)).save(tmp_path / 'a.png')
    with open_sam3i_file(tmp_path / 'sam3i_val.json') as writer:
        writer.append('a.png', (4, 6), LevelTexts(('mugs',), ('left mug', 'the left mug'), ('sip',)), [column(0)])
        writer.append('a.png', (4, 6), LevelTexts(('book',), ('the red book',)), [])
    with open_sam3i_file(tmp_path / 'sam3i_names_val.json') as writer:
        writer.append('a.png', (4, 6), LevelTexts(('mugs',)), [column(0), column(3)])
    return tmp_path


def test_a_split_is_a_level_with_one_query_a_target(folder):
    report = SkipReport()
    found = {split: LEVELS.load_queries(folder, split, report) for split in ('concept', 'simple', 'names')}
    texts = {split: [(query.kind, query.text, len(query.targets)) for query in each] for split, each in found.items()}
    assert texts == {
        'concept': [('phrase', 'mugs', 1), ('phrase', 'book', 0)],
        'simple': [('sentence', 'left mug', 1), ('sentence', 'the red book', 0)],
        'names': [('phrase', 'mugs', 2)],
    }
    assert found['simple'][0].image == folder / 'a.png'
    assert not report.errors


def test_targets_without_a_text_of_the_level_are_named(folder):
    report = SkipReport()
    assert [query.text for query in LEVELS.load_queries(folder, 'complex', report)] == ['sip']
    assert 'text of the level complex' in str(report.errors[0])
    with pytest.raises(ConfigError, match='expected one of concept, simple, complex, names'):
        LEVELS.load_queries(folder, 'val', report)
