"""From an annotation file to a batch: what a query asks, where the pixels, boxes and masks go, what is left out.

Covers families/sam3i/entries.py, families/sam3i/instruction_batch.py
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from instructsam_model.masks import encode_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import read_sam3i_file
from instructsam_training.families.sam3i.entries import QuerySource, TrainingEntry, read_entries
from instructsam_training.families.sam3i.image_transforms import (
    INPUT_SIDE,
    RELEASED_SIDES,
    Placement,
    choose_sides,
    draw_placement,
    transform,
)
from instructsam_training.families.sam3i.instruction_batch import collate, concept_keys, draw_texts

SIZE_HW = (40, 80)
BLACK, WHITE = -1.0, 1.0


def annotation(number: int, category: int, box_xywh: tuple[int, int, int, int], **changes: Any) -> dict[str, Any]:
    x, y, width, height = box_xywh
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[y : y + height, x : x + width] = True
    fields = {'id': number, 'image_id': 1, 'category_id': category, 'bbox': list(box_xywh), 'iscrowd': 0}
    return {**fields, 'area': width * height, 'segmentation': encode_rle(mask), **changes}


def read(folder: Path, *annotations: dict[str, Any], queries: QuerySource = 'instruction') -> list[TrainingEntry]:
    texts = {'concept': ['Cup'], 'simple_query': ['left cup', 'first cup'], 'complex_query': ['what holds tea']}
    content = {
        'images': [{'id': 1, 'file_name': '1.png', 'width': 80, 'height': 40, 'text_inst_input': texts}],
        'annotations': list(annotations),
        'categories': [{'id': 3, 'name': 'late'}, {'id': 1, 'name': 'early'}],
    }
    file = folder / 'sam3i_train.json'
    file.write_text(json.dumps(content))
    report = SkipReport()
    entries = list(read_entries(read_sam3i_file(file, report), folder, report, queries))
    assert not report.errors
    return entries


def white() -> np.ndarray:
    return np.full((*SIZE_HW, 3), 255, np.uint8)


def test_one_query_asks_for_all_objects_or_one_for_each_category(tmp_path: Path) -> None:
    both = annotation(1, 3, (8, 4, 16, 8)), annotation(2, 1, (40, 20, 8, 8))
    (entry,) = read(tmp_path, *both)
    assert [query.objects for query in entry.queries] == [(0, 1)]
    (released,) = read(tmp_path, *both, queries='category')
    # Category 1 comes first, and the objects in its order.
    assert [query.objects for query in released.queries] == [(0,), (1,)]
    assert released.objects[0].box_xyxy == (0.5, 0.5, 0.6, 0.7)
    (contradicting,) = read(tmp_path, both[0], queries='category')
    assert [query.objects for query in contradicting.queries] == [(), (0,)]


def test_image_boxes_and_masks_are_placed_together(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, annotation(1, 1, (8, 4, 16, 8)))
    image = transform(entry, white(), Placement(40, left=10, top=5), 64)
    # 80 x 40 becomes 40 x 40: x halves, y stays; then both are moved.
    expected = torch.tensor([[10 + 8.0, 5 + 8.0, 8.0, 8.0]]) / 64
    assert torch.allclose(image.boxes_cxcywh, expected)
    rows, columns = image.masks[0].nonzero().unbind(-1)
    assert [int(each) for each in (columns.min(), columns.max(), rows.min(), rows.max())] == [14, 21, 9, 16]
    assert bool((image.pixel_values[:, 5:45, 10:50] == WHITE).all())
    assert bool((image.pixel_values[:, :5] == BLACK).all())
    assert bool((image.pixel_values[:, 45:] == BLACK).all())


def test_crowds_and_specks_leave_their_query(tmp_path: Path) -> None:
    objects = [
        annotation(1, 1, (0, 0, 8, 8), iscrowd=1),
        annotation(2, 1, (20, 20, 1, 1), bbox=[20, 20, 0.001, 0.001]),
        annotation(3, 1, (30, 10, 8, 8)),
    ]
    (entry,) = read(tmp_path, *objects)
    image = transform(entry, white(), Placement(64), 64)
    assert [query.objects for query in image.queries] == [(0,)]
    assert len(image.masks) == len(image.areas) == 1
    kept = transform(entry, white(), Placement(64), 64, keep_crowds=True)
    assert [query.objects for query in kept.queries] == [(0, 1)]


def test_an_empty_mask_is_left_out_and_counted(tmp_path: Path) -> None:
    empty = encode_rle(np.zeros(SIZE_HW, dtype=np.bool_))
    file = tmp_path / 'sam3i_train.json'
    read(tmp_path, annotation(1, 1, (0, 0, 8, 8), segmentation=empty), annotation(2, 1, (0, 0, 8, 8)))
    report = SkipReport()
    (entry,) = read_entries(read_sam3i_file(file, report), tmp_path, report)
    assert len(entry.objects) == 1
    assert dict(report.notes) == {'objects with an empty mask, left out': 1}


def test_an_image_of_another_size_is_an_error(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, annotation(1, 1, (0, 0, 8, 8)))
    with pytest.raises(ValueError, match=r'expected an image of \(40, 80\)'):
        transform(entry, white()[:, :-1], Placement(64), 64)
    with pytest.raises(ValueError, match='expected one within 64 pixels'):
        transform(entry, white(), Placement(60, left=5), 64)


def test_sides_include_the_one_of_the_inference() -> None:
    sides = choose_sides('extended', INPUT_SIDE)
    assert sides == (*RELEASED_SIDES, 1008)
    assert choose_sides('released', INPUT_SIDE) == RELEASED_SIDES
    placements = [draw_placement(Random(seed), sides, 1008) for seed in range(300)]
    assert {placement.side for placement in placements} == {*sides}
    for placement in placements:
        assert min(placement.left, placement.top) >= 0
        assert max(placement.left, placement.top) + placement.side <= 1008
    with pytest.raises(ValueError, match='expected 1 to 64 pixels'):
        draw_placement(Random(0), RELEASED_SIDES, 64)


def test_batch_packs_targets_in_the_order_of_the_queries(tmp_path: Path) -> None:
    first = annotation(1, 3, (8, 4, 16, 8)), annotation(2, 1, (40, 20, 8, 8))
    (entry,) = read(tmp_path, *first, queries='category')
    (negative,) = read(tmp_path)
    images = [transform(each, white(), Placement(64), 64) for each in (entry, negative)]
    batch = collate(images)
    # Texts that are equal are encoded once.
    assert len(batch.texts) == 1
    assert batch.text_index.tolist() == [0, 0, 0]
    assert batch.image_index.tolist() == [0, 0, 1]
    assert batch.target_counts.tolist() == [1, 1, 0]
    assert torch.equal(batch.boxes_cxcywh, images[0].boxes_cxcywh)
    assert batch.masks.shape == (2, 64, 64)
    assert batch.to(torch.device('meta')).masks.is_meta


def test_texts_are_drawn_by_level(tmp_path: Path) -> None:
    texts = [read(tmp_path)[0].queries[0].texts]
    drawn = {draw_texts(texts, 'simple', Random(seed))[0] for seed in range(20)}
    assert drawn == {'left cup', 'first cup'}
    assert concept_keys(texts) == ['cup']
    file = tmp_path / 'sam3i_train.json'
    file.write_text(file.read_text().replace('"complex_query": ["what holds tea"]', '"complex_query": []'))
    report = SkipReport()
    without = [image.texts for image in read_sam3i_file(file, report).images]
    with pytest.raises(ValueError, match='level complex'):
        draw_texts(without, 'complex', Random(0))
