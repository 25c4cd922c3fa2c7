import pytest

from instructsam_training.datasets.hmpl.naming import names_any


@pytest.mark.parametrize(
    ('text', 'name', 'expected'),
    [
        ('Hand me the red mug.', 'mug', True),
        ('Which MUGS are red?', 'mug', True),
        ("the mug's handle", 'mug', True),
        ('the box on the left', 'boxes', True),
        ('both glasses', 'glass', True),
        ('a bowl of berries', 'berry', True),
        ('the coffee cup', 'coffee_cup', True),
        ('a cup of coffee', 'coffee_cup', False),
        ('the cupboard', 'cup', False),
        ('something to drink from', 'mug', False),
        ('the bus', 'bu', False),
        ('anything', '', False),
    ],
)
def test_names_are_whole_words_in_singular_or_plural(text, name, expected):
    assert names_any(text, [name]) is expected


def test_one_of_several_names_is_enough():
    assert names_any('the tin on the table', ['can', 'tin'])
    assert not names_any('the tin on the table', [])
