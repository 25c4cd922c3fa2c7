"""Names of files that are published in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.parts import check_parts, find_parts, part_of


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('lvis_part0.json', ('lvis', 0, None)),
        ('lvis-part-10.jsonl', ('lvis', 10, None)),
        ('lvis.part007.json', ('lvis', 7, None)),
        ('lvis_part1of5.json', ('lvis', 1, 5)),
        ('lvis_part_1_of_5.json', ('lvis', 1, 5)),
        ('lvis-00003-of-00011.jsonl', ('lvis', 3, 11)),
        ('lvis_3_of_11.json', ('lvis', 3, 11)),
        ('lvis_shard2.json', ('lvis', 2, None)),
        ('part3.json', ('', 3, None)),
        # Numbers that are part of the name.
        ('obj365_cat_646k.json', ('obj365_cat_646k', None, None)),
        ('pascal_part.json', ('pascal_part', None, None)),
        ('lvis_v1_train.json', ('lvis_v1_train', None, None)),
        ('counterpart1.json', ('counterpart1', None, None)),
    ],
)
def test_number_in_the_name(name: str, expected: tuple[str, int | None, int | None]) -> None:
    part = part_of(Path(name))
    assert (part.name, part.number, part.count) == expected


@pytest.mark.parametrize(
    ('names', 'count'),
    [
        (['a_part0', 'a_part1', 'a_part2'], None),
        (['a_part1', 'a_part2', 'a_part3'], None),
        (['a_part1', 'a_part2', 'a_part3'], 3),
        (['a/part0', 'a/part1'], 2),
        (['a-00001-of-00002', 'a-00002-of-00002'], None),
        # Names that state their number need not agree with the list, which counts the parts of the authors.
        (['a-00000-of-00002', 'a-00001-of-00002'], 5),
    ],
)
def test_complete_parts(save: Callable[..., Path], tmp_path: Path, names: list[str], count: int | None) -> None:
    files = tuple(save(f'{name}.json', '[]') for name in names)
    save('ab_part0.json', '[]')
    assert check_parts('a', tmp_path, find_parts('a', tmp_path), count) == files


def test_number_of_parts_of_the_authors_is_known(save: Callable[..., Path], tmp_path: Path) -> None:
    # As in `data: {files: [mapillary]}`, without a list that states it.
    for number in range(4):
        save(f'mapillary_part{number}.json', '[]')
    found = find_parts('mapillary', tmp_path)
    with pytest.raises(ConfigError, match=r'expected 5 parts .* found 4 .*missing are the parts 4;'):
        check_parts('mapillary', tmp_path, found)
    assert len(check_parts('mapillary', tmp_path, found, 4)) == 4


@pytest.mark.parametrize(
    ('names', 'count', 'message'),
    [
        (['a_part0', 'a_part2'], None, 'missing are the parts 1;'),
        (['a_part2', 'a_part3'], None, 'missing are the parts 0, 1;|missing are the parts 1'),
        (['a_part0', 'a_part1'], 3, 'expected 3 parts .* found 2 .*missing are the parts 2;'),
        (['a_part1', 'a_part2'], 3, 'missing are the parts 0'),
        (['a_part0', 'a_part1', 'a_part2'], 2, 'expected 2 parts .* found also a_part2.json'),
        (['a_part0', 'a-part0'], None, 'expected each part once'),
        (['a-00000-of-00002', 'a-00000-of-00003'], None, 'remove those of another download'),
        (['a-00000-of-00020'], None, 'missing are the parts 1, 2, .*, 10, ...;'),
    ],
)
def test_incomplete_parts(
    save: Callable[..., Path], tmp_path: Path, names: list[str], count: int | None, message: str
) -> None:
    for name in names:
        save(f'{name}.json', '[]')
    with pytest.raises(ConfigError, match=message):
        check_parts('a', tmp_path, find_parts('a', tmp_path), count)
