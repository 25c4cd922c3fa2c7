"""The metrics of SAM3-I's public evaluation, exactly; with the surprises that its numbers depend on.

`one_to_one` (`1to1`): every record of a known annotation is compared with that annotation alone. Annotations without a
record do not count, records of unknown annotations are skipped. Its `mIoU` is the ratio of sums that others call cIoU.
`multi_instance` (`multi_inst`, for the data sets 1toN and 1toAll): every record is compared with all annotations of its
entry of `images`, and an entry has the mean of its records. An entry without a record scores 0, and so does an empty
answer to an entry without annotations: a correct refusal is counted as wrong.

Notation: R records, A annotations, E entries of `images`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instructsam_model.masks import Rle
from instructsam_training.datasets.io.segmentation import merge
from instructsam_training.evaluation.sam3i.ground_truth import GroundTruth
from instructsam_training.evaluation.sam3i.records import PredictionRecord

Protocol = Literal['1to1', 'multi_inst']
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
IOU_THRESHOLD = 0.5
"""Of P@50; an IoU of exactly this counts."""
CATEGORY = 1
"""All annotations and detections are of one category."""


class MaskSizeError(ValueError):
    """A predicted mask has another size than its annotation, which ends the public evaluation."""


@dataclass(frozen=True)
class ProtocolResult:
    """Numbers of the public evaluation.

    Attributes:
        numbers: 0..1 by name: `gIoU`, `P@50`, and for 1to1 `mIoU`, `AP`, `AP50`.
        counted: records of 1to1, or entries of multi_inst, that the means are over.
        left_out: what has no influence on the numbers, or counts as 0, and how often.
    """

    numbers: Mapping[str, float]
    counted: int
    left_out: Mapping[str, int] = field(default_factory=dict)


def score_records(protocol: Protocol, truth: GroundTruth, records: Sequence[PredictionRecord]) -> ProtocolResult:
    """Score records by one of the two protocols; see `one_to_one` and `multi_instance`."""
    return (one_to_one if protocol == '1to1' else multi_instance)(truth, records)


def one_to_one(truth: GroundTruth, records: Sequence[PredictionRecord]) -> ProtocolResult:
    """Score each record against its annotation.

    Raises:
        MaskSizeError: a mask has another size than its annotation.
    """
    known = [record for record in records if record.annotation_id in truth.by_id]
    # (R, 2): pixels of the intersection and of the union.
    pixels = np.zeros((len(known), 2))
    for row, record in enumerate(known):
        pixels[row] = _overlap(record, [truth.by_id[record.annotation_id].rle])
    intersection, union = pixels.T
    ious = np.divide(intersection, union, out=np.zeros(len(known)), where=union > 0)
    numbers = {
        'gIoU': _mean(ious),
        'mIoU': float(intersection.sum() / union.sum()) if union.sum() else 0.0,
        'P@50': _mean(ious >= IOU_THRESHOLD),
        **_average_precision(truth, known),
    }
    answered = {record.annotation_id for record in known}
    left_out = {
        'records of unknown annotations, skipped': len(records) - len(known),
        'annotations without a record, not counted': len(truth.annotations) - len(answered),
        'further records of an annotation, all counted': len(known) - len(answered),
    }
    return ProtocolResult(numbers, len(known), {what: number for what, number in left_out.items() if number})


def multi_instance(truth: GroundTruth, records: Sequence[PredictionRecord]) -> ProtocolResult:
    """Score the records of each entry of `images` against all its annotations together."""
    ious: dict[Any, list[float]] = {image_id: [] for image_id in truth.sizes_hw}
    wrong_size = 0
    for record in records:
        if record.image_id in ious:
            targets = [annotation.rle for annotation in truth.by_image[record.image_id]]
            try:
                intersection, union = _overlap(record, targets, truth.sizes_hw[record.image_id])
            except MaskSizeError:
                wrong_size += 1
                intersection = union = 0.0
            ious[record.image_id].append(intersection / union if union else 0.0)
    # (E,): an entry is the mean of its records; P@50 likewise, so that one right record of two is half a hit.
    means = np.array([_mean(np.array(each)) if each else 0.0 for each in ious.values()])
    hits = np.array([_mean(np.array(each) >= IOU_THRESHOLD) if each else 0.0 for each in ious.values()])
    left_out = {
        'records of unknown images, skipped': sum(record.image_id not in ious for record in records),
        'entries without a record, counted as 0': sum(not each for each in ious.values()),
        'records with masks of another size, counted as 0': wrong_size,
        'entries without annotations, always counted as 0': sum(not each for each in truth.by_image.values()),
    }
    numbers = {'gIoU': _mean(means), 'P@50': _mean(hits)}
    return ProtocolResult(numbers, len(ious), {what: number for what, number in left_out.items() if number})


def _overlap(
    record: PredictionRecord, targets: Sequence[Rle], size_hw: tuple[int, int] | None = None
) -> tuple[float, float]:
    """Return the pixels of intersection and union of all masks of a record and all targets.

    Raises:
        MaskSizeError: a mask has another size than the targets, or `size_hw` if there are none.
    """
    expected = tuple(targets[0]['size']) if targets else size_hw
    for mask in record.masks:
        if tuple(mask['size']) != expected:
            raise MaskSizeError(
                f'annotation {record.annotation_id}: expected masks of {expected} (H, W), got {tuple(mask["size"])}'
            )
    masks = [*record.masks, *targets]
    union = float(coco_mask.area(merge(masks))) if masks else 0.0
    if not record.masks or not targets:
        return 0.0, union
    both = coco_mask.merge([merge(record.masks), merge(targets)], intersect=True)
    return float(coco_mask.area(both)), union


def _average_precision(truth: GroundTruth, records: Sequence[PredictionRecord]) -> dict[str, float]:
    """Return COCO's AP over IoU 0.5 to 0.95, and AP at 0.5; a record is one detection, of the union of its masks.

    Two annotations of one image compete for the detections of both. The images are those of all records.
    """
    # pycocotools needs numbers, and takes an annotation of the id 0 for none; other ids are kept.
    images = {image_id: number for number, image_id in enumerate(truth.sizes_hw, 1)}
    detections = [
        {
            'image_id': images[record.image_id],
            'category_id': CATEGORY,
            'segmentation': merge(record.masks),
            'score': max(record.scores),
        }
        for record in records
        if record.masks and record.image_id in images
    ]
    if not detections:
        return {'AP': 0.0, 'AP50': 0.0}
    ground_truth = COCO()
    ground_truth.dataset = {
        'images': [
            {'id': images[image_id], 'height': height, 'width': width}
            for image_id, (height, width) in truth.sizes_hw.items()
        ],
        'annotations': [
            {
                'id': number,
                'image_id': images[annotation.image_id],
                'category_id': CATEGORY,
                'segmentation': annotation.rle,
                'area': float(coco_mask.area(annotation.rle)),
                'bbox': [0] * 4,
                'iscrowd': int(annotation.is_crowd),
            }
            for number, annotation in enumerate(truth.annotations, 1)
        ],
        'categories': [{'id': CATEGORY, 'name': 'object'}],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress to stdout
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(detections), 'segm')
        evaluation.params.imgIds = sorted({images[record.image_id] for record in records if record.image_id in images})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # pycocotools has -1 where there is no annotation.
    ap, ap50 = (max(float(value), 0.0) for value in evaluation.stats[:2])
    return {'AP': ap, 'AP50': ap50}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
