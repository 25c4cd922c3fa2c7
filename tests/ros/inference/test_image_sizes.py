"""Which sizes the model is made ready for: each once, and none that is nonsense."""

from __future__ import annotations

import pytest

from instructsam_ros.inference.image_sizes import MAX_SIZES, ImageSizes

VGA, HD = (640, 480), (1280, 720)


def taken(sizes: ImageSizes) -> list[tuple[int, int]]:
    found = []
    while (size_wh := sizes.start_next()) is not None:
        found.append(size_wh)
        sizes.finish()
    return found


def test_hints_come_first_and_sizes_are_unique():
    sizes = ImageSizes([VGA, VGA])
    assert [sizes.add(size_wh) for size_wh in (HD, VGA, HD)] == [True, False, False]
    assert sizes.is_due
    assert taken(sizes) == [VGA, HD]
    assert not sizes.is_due
    assert not sizes.add(HD)
    assert taken(sizes) == []


def test_warming_up_until_finish():
    sizes = ImageSizes([HD])
    assert sizes.warming_up is None
    sizes.start_next()
    assert sizes.warming_up == HD
    sizes.finish()
    assert sizes.warming_up is None


def test_reset_makes_all_sizes_due():
    sizes = ImageSizes([VGA])
    sizes.add(HD)
    taken(sizes)
    sizes.reset()
    assert taken(sizes) == [VGA, HD]


def test_nothing_is_due_if_disabled():
    sizes = ImageSizes([VGA], enabled=False)
    assert not sizes.add(HD)
    assert taken(sizes) == []


@pytest.mark.parametrize('size_wh', [(0, 480), (640, 0), (1_000_000_000, 2), (9000, 9000)], ids=str)
def test_invalid_sizes_are_ignored(size_wh: tuple[int, int]):
    sizes = ImageSizes()
    assert not sizes.add(size_wh)
    assert taken(sizes) == []


def test_number_of_sizes_is_limited():
    sizes = ImageSizes()
    assert sum(sizes.add((100 + number, 100)) for number in range(100)) == MAX_SIZES
    assert len(taken(sizes)) == MAX_SIZES
