"""`QueryScore`: a result compared with the ground truth, by its masks, the target point and the 3D box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instructsam_model import Segmentation
from instructsam_model.masks import mask_iou, merge_masks
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample

PIXEL_TOLERANCE_PX = 2
"""A point counts as on an object if one of its pixels is within this distance along rows and columns."""
DEPTH_TOLERANCE_M = 0.01
"""A point counts as on an object if its depth is within this distance of the range of the object's depth."""


@dataclass(frozen=True)
class Query:
    """An instruction for a scene.

    Attributes:
        seed: of the scene.
        kind: ability that the instruction tests, such as `category` or `ordering`.
        text: the instruction.
        targets: labels of the objects that the instruction refers to.
    """

    seed: int
    kind: str
    text: str
    targets: tuple[int, ...]


@dataclass(frozen=True)
class BoxError:
    """Difference between an estimated 3D box and the true one.

    Attributes:
        center_m: distance between the centers.
        size_m: mean absolute difference of the edge lengths, sorted by length because the order of axes is arbitrary.
        size_fraction: mean of these differences, each divided by the true length.
    """

    center_m: float
    size_m: float
    size_fraction: float


@dataclass(frozen=True, eq=False)
class QueryScore:
    """A result and its score.

    Attributes:
        query: the query.
        segmentation: result of the node.
        sample: ground truth at the stamp of the image.
        iou: IoU of the union of the instances with the ground truth, 0..1; 1 if both are empty.
        point_m: (3,), median point of the best instance in the optical frame; None without an instance or depth.
        is_correct: whether that point is on a target; without targets, whether no instance was found.
        latency_s: from the arrival of the image at the node to the publication of the result.
        box_error: of the 3D box of the best instance; None if it has no box or is not a target.
    """

    query: Query
    segmentation: Segmentation
    sample: GroundTruthSample
    iou: float
    point_m: NDArray[np.float64] | None
    is_correct: bool
    latency_s: float
    box_error: BoxError | None = None


def score(
    query: Query,
    segmentation: Segmentation,
    sample: GroundTruthSample,
    latency_s: float,
    box: OrientedBox | None = None,
) -> QueryScore:
    """Compare a result, and the 3D box of its best instance, with the ground truth."""
    # (H, W) masks: union of the targets, and union of the instances.
    target_mask = np.isin(sample.labels, query.targets)
    found_mask = merge_masks((instance.mask for instance in segmentation.instances), target_mask.shape)
    point_m = target_point(segmentation, sample)
    if query.targets:
        is_correct = point_m is not None and is_point_on_object(point_m, query.targets, sample)
    else:
        is_correct = not segmentation.instances
    # The box of a wrong object has no meaningful error.
    box_error = find_box_error(box, query.targets, sample) if box is not None and is_correct else None
    iou = mask_iou(found_mask, target_mask)
    return QueryScore(query, segmentation, sample, iou, point_m, is_correct, latency_s, box_error)


def find_box_error(box: OrientedBox, targets: tuple[int, ...], sample: GroundTruthSample) -> BoxError | None:
    """The error of a box relative to the nearest target; None if no target has a true box."""
    true_boxes = [sample.boxes[label] for label in targets if label in sample.boxes]
    if not true_boxes:
        return None
    true_box = min(true_boxes, key=lambda each: float(np.linalg.norm(box.center_m - each.center_m)))
    # Edge lengths (3,), shortest first.
    true_size_m = np.sort(true_box.size_m)
    difference_m = np.abs(np.sort(box.size_m) - true_size_m)
    center_m = float(np.linalg.norm(box.center_m - true_box.center_m))
    return BoxError(center_m, float(difference_m.mean()), float((difference_m / true_size_m).mean()))


def target_point(segmentation: Segmentation, sample: GroundTruthSample) -> NDArray[np.float64] | None:
    """The median (3,) of the points of the best instance in meters; None without an instance or depth."""
    if not segmentation.instances:
        return None
    points_m = _points_of(sample, segmentation.instances[0].mask)
    return np.asarray(np.median(points_m, axis=0)) if len(points_m) else None


def is_point_on_object(point_m: NDArray[np.float64], labels: tuple[int, ...], sample: GroundTruthSample) -> bool:
    """Whether a point projects onto one of the objects and is at its depth, within the tolerances."""
    x, y = (round(each) for each in sample.camera.project(point_m[None])[0])
    # Window of the labels around the pixel, clipped to the image.
    rows = slice(max(0, y - PIXEL_TOLERANCE_PX), y + PIXEL_TOLERANCE_PX + 1)
    columns = slice(max(0, x - PIXEL_TOLERANCE_PX), x + PIXEL_TOLERANCE_PX + 1)
    for label in set(labels) & set(sample.labels[rows, columns].ravel().tolist()):
        # (N,) depths of all pixels of the object.
        depths_m = _points_of(sample, sample.labels == label)[:, 2]
        if depths_m.min() - DEPTH_TOLERANCE_M <= point_m[2] <= depths_m.max() + DEPTH_TOLERANCE_M:
            return True
    return False


def _points_of(sample: GroundTruthSample, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The points (N, 3) of the pixels of a mask that have depth."""
    rows, columns = np.nonzero(mask & (sample.depth_m > 0))
    return sample.camera.points_at(sample.depth_m, (rows, columns))
