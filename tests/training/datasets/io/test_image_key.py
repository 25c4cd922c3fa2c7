"""Which image a file is, by its name and folders."""

from __future__ import annotations

import pytest

from instructsam_training.datasets.io.image_key import coco_id, image_key


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('coco/train2017/000000000009.jpg', 9),
        ('COCO_train2014_000000581857.jpg', 581857),
        ('objects365_v2_01808559.jpg', None),
        ('000cd456-ff8d-499b-b0c1-4acead128a8b_000024.jpeg', None),
        ('n01440764_10029.JPEG', None),
        ('1234000000000009.jpg', None),
    ],
)
def test_coco_id_is_parsed_from_the_file_name(name: str, expected: int | None) -> None:
    assert coco_id(name) == expected


@pytest.mark.parametrize(
    ('one', 'other', 'are_equal'),
    [
        ('train2017/000000000009.jpg', 'mscoco\\COCO_val2014_000000000009.jpg', True),
        ('saiapr_tc-12/00/images/112.jpg', 'refclef/112.png', True),
        ('saiapr_tc-12/00/images/112.jpg', 'train/112.jpg', False),
        ('data/final_dataset/testA/image/0000001.png', 'testA/image/0000001.png', True),
        ('testA/image/0000001.png', 'train/image/0000001.png', False),
        ('val/4835_ed4b.jpg', 'elsewhere/4835_ed4b.png', True),
        ('a/b/1_2.jpg', 'a/c/1_2.jpg', False),
    ],
)
def test_copies_of_an_image_have_one_key(one: str, other: str, are_equal: bool) -> None:
    assert (image_key(one) == image_key(other)) is are_equal
