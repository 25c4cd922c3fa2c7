"""Parity of the training data: what the released data set, transforms and collation make of two annotation files.

`data_path.json` has, for each file with the transforms of training and of validation, the queries, boxes, areas and
mask sizes of every item and the packed batch; `data_path.safetensors` has some pixels and masks. The random offsets of
the padding are taken from the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from instructsam_model.image_io import read_image
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.sam3i_file import LevelName, read_sam3i_file
from instructsam_training.families.sam3i.entries import TrainingEntry, read_entries
from instructsam_training.families.sam3i.image_transforms import Placement, TrainingImage, transform
from instructsam_training.families.sam3i.instruction_batch import InstructionBatch, collate
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.golden_files import read_object, read_tensors

FILES = {'plain': 'dataset.json', 'special': 'dataset_special.json'}
"""Annotation file of each part of data_path.json."""
TOLERANCE = 5e-5
LEVEL: LevelName = 'simple'
"""Level of the recorded texts."""


def compare_data_path(folder: Path) -> list[Difference | NotCompared]:
    """Compare every item and every batch.

    Raises:
        OSError: an image cannot be read.
        ValueError: a file does not have the expected layout.
    """
    golden = read_object(folder / 'data_path.json')
    tensors = read_tensors(folder / 'data_path.safetensors')
    rows: list[Difference | NotCompared] = []
    for part, content in golden.items():
        name, _, transforms = part.partition('.')
        if not isinstance(content, Mapping):  # the file also has a note
            continue
        if name not in FILES or not (folder / FILES[name]).is_file():
            rows.append(NotCompared(f'data_path.json: {part}, the set lacks {FILES.get(name, "its annotation file")}'))
            continue
        rows += _compare_part(folder, part, content, tensors, is_training=transforms == 'train')
    return rows


def read_batch(folder: Path, order: Sequence[Mapping[str, Any]]) -> InstructionBatch:
    """Return queries with their targets in `dataset.json`, at the size of the network's input.

    Args:
        folder: of the set.
        order: queries of `inputs.json`.

    Raises:
        ValueError: the file lacks one of the queries.
    """
    side = read_object(folder / 'config.json')['res']
    report = SkipReport()
    entries = read_entries(read_sam3i_file(folder / FILES['plain'], report), folder, report)
    by_query = {(entry.image.name, query.texts.simple): entry for entry in entries for query in entry.queries}
    keys = [(f'image_{query["img"]}.png', tuple(query['simple_query'])) for query in order]
    missing = [key for key in keys if key not in by_query]
    if missing:
        raise ValueError(f'{folder / FILES["plain"]}: expected all queries of inputs.json, found none for {missing[0]}')
    ordered = [by_query[key] for key in keys]
    return collate(
        [transform(entry, read_image(entry.image), Placement(side), side, keep_crowds=True) for entry in ordered]
    )


def _compare_part(
    folder: Path, part: str, golden: Mapping[str, Any], tensors: Mapping[str, Tensor], *, is_training: bool
) -> list[Difference]:
    report = SkipReport()
    content = read_sam3i_file(folder / FILES[part.partition('.')[0]], report)
    entries = list(read_entries(content, folder, report, 'category'))
    if report.errors:
        raise ValueError(f'{content.file}: {report.errors[0]}')
    if len(entries) != len(golden['items']):
        raise ValueError(f'{content.file}: expected {len(golden["items"])} entries as in {part}, got {len(entries)}')
    images = [
        _transform(entry, item, golden['pads_left_top_right_bottom'][number] if is_training else None)
        for number, (entry, item) in enumerate(zip(entries, golden['items'], strict=True))
    ]
    rows = [row for image, item in zip(images, golden['items'], strict=True) for row in _compare_item(image, item)]
    batch = collate(images)
    rows += _compare_batch(batch, golden['collated'])
    # The tensors are those of the first image, and the masks of all targets.
    if f'{part}.img_batch0' in tensors:
        pixels = tensors[f'{part}.img_batch0']
        rows.append(Difference.arrays('data pixels', batch.pixel_values[0], pixels, abs_tol=TOLERANCE))
    if f'{part}.segments' in tensors:
        rows.append(Difference.arrays('data masks', batch.masks, tensors[f'{part}.segments'], abs_tol=0))
    return rows


def _transform(entry: TrainingEntry, item: Mapping[str, Any], pads: Sequence[int] | None) -> TrainingImage:
    """Transform an entry as the released training or, without padding, validation does."""
    input_side = item['data_shape'][-1]
    left, top, right, _ = pads or (0, 0, 0, 0)
    placement = Placement(input_side - left - right, left, top)
    return transform(entry, read_image(entry.image), placement, input_side, keep_crowds=pads is None)


def _compare_item(image: TrainingImage, golden: Mapping[str, Any]) -> list[Difference]:
    texts = [query.texts.of(LEVEL)[0] for query in image.queries]
    objects = [list(query.objects) for query in image.queries]
    # Boxes of an image without objects are [] in the file.
    boxes = image.boxes_cxcywh.flatten()
    golden_boxes = [value for box in golden['boxes'] for value in box]
    return [
        Difference.texts('data texts', texts, golden['texts']),
        Difference.texts('data objects', [str(each) for each in objects], [str(e) for e in golden['object_ids']]),
        Difference.arrays('data boxes', boxes, golden_boxes, abs_tol=TOLERANCE),
        Difference.arrays('data areas', image.areas, golden['areas'], abs_tol=TOLERANCE),
        Difference.arrays('data mask sizes', image.masks.sum((1, 2)), golden['seg_area'], abs_tol=0),
        Difference.arrays('data shape', image.pixel_values.shape, golden['data_shape'], abs_tol=0),
    ]


def _compare_batch(batch: InstructionBatch, golden: Mapping[str, Any]) -> list[Difference]:
    boxes = batch.boxes_cxcywh.flatten()
    golden_boxes = [value for box in golden['boxes'] for value in box]
    return [
        Difference.arrays('data unique texts', len(batch.texts), golden['n_unique_texts'], abs_tol=0),
        Difference.arrays('data text_ids', batch.text_index, golden['text_ids'], abs_tol=0),
        Difference.arrays('data img_ids', batch.image_index, golden['img_ids'], abs_tol=0),
        Difference.arrays('data num_boxes', batch.target_counts, golden['num_boxes'], abs_tol=0),
        Difference.arrays('data packed boxes', boxes, golden_boxes, abs_tol=TOLERANCE),
    ]
