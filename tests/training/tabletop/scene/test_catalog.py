"""Catalog of categories, colors and materials."""

from __future__ import annotations

import pytest

from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, MATERIALS, rgb_of
from instructsam_training.tabletop.scene.textures import PATTERNS


def test_hue_is_in_degrees_and_periodic() -> None:
    assert rgb_of((120, 1.0, 1.0)) == pytest.approx((0, 1, 0))
    assert rgb_of((-120, 1.0, 1.0)) == pytest.approx(rgb_of((240, 1.0, 1.0)))
    assert rgb_of((77, 0.0, 0.5)) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize('name', CATALOG)
def test_categories_refer_to_known_colors_and_materials(name: str) -> None:
    category = CATALOG[name]
    assert category.name == name
    assert set(category.colors) <= COLORS.keys()
    assert set(category.materials) <= MATERIALS.keys()
    assert category.scale[0] < 1 < category.scale[1]
    assert category.stretch >= 1


def test_materials_have_known_textures() -> None:
    assert {material.pattern for material in MATERIALS.values()} - {''} <= PATTERNS.keys()


def test_a_plate_is_no_container() -> None:
    containers = {category.name for category in CATALOG.values() if category.is_container}
    assert containers == {'mug', 'cup', 'bowl'}
