"""`Result`: an answer beside the truth: do the masks agree, and does a hand that reaches for the target touch it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instructsam_model import Segmentation
from instructsam_model.masks import mask_iou, merge_masks
from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.messages.geometry import back_project, project
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample

NEAR_PX = 2
"""A point is on a thing whose pixels are at most so far away in the picture, along rows and columns."""
NEAR_M = 0.01
"""Its distance may be so far outside of those of the thing's pixels."""


@dataclass(frozen=True)
class Question:
    """One instruction about one scene.

    Attributes:
        seed: of the scene.
        kind: what has to be understood to answer it.
        text: the instruction.
        targets: labels of the things that answer it.
    """

    seed: int
    kind: str
    text: str
    targets: tuple[int, ...]


@dataclass(frozen=True)
class BoxError:
    """How far a 3D box is from the true one.

    Attributes:
        center_m: distance of the centers.
        size_m: mean difference of the edge lengths, each in the order of their lengths, as axes may be named otherwise.
        size_share: likewise, of their shares of the true lengths.
    """

    center_m: float
    size_m: float
    size_share: float


@dataclass(frozen=True, eq=False)
class Result:
    """What the system made of a question.

    Attributes:
        question: what was asked.
        segmentation: the answer.
        moment: what the answer is about.
        iou: of the union of the instances with the truth, 0..1; two empty masks agree.
        point_m: (3,), median point of the best instance in the optical frame; None without one.
        is_right: that point is on a thing that was meant; where none was meant, nothing was found.
        latency_s: from the arrival of the picture at the node to the publication of the answer.
        box_error: of the 3D box of the best instance; None where it has none, or is no target.
    """

    question: Question
    segmentation: Segmentation
    moment: GroundTruthSample
    iou: float
    point_m: NDArray[np.float64] | None
    is_right: bool
    latency_s: float
    box_error: BoxError | None = None


def judge(
    question: Question,
    segmentation: Segmentation,
    moment: GroundTruthSample,
    latency_s: float,
    box: OrientedBox | None = None,
) -> Result:
    """Compare an answer, and the 3D box of its best instance, with the truth."""
    truth = np.isin(moment.labels, question.targets)
    found = merge_masks((instance.mask for instance in segmentation.instances), truth.shape)
    point_m = target_point(segmentation, moment)
    if question.targets:
        is_right = point_m is not None and is_on(point_m, question.targets, moment)
    else:
        is_right = not segmentation.instances
    box_error = find_box_error(box, question.targets, moment) if box is not None and is_right else None
    return Result(question, segmentation, moment, mask_iou(found, truth), point_m, is_right, latency_s, box_error)


def find_box_error(box: OrientedBox, targets: tuple[int, ...], moment: GroundTruthSample) -> BoxError | None:
    """How far a box is from that of the nearest target; None where the truth is not known."""
    true_boxes = [moment.boxes[label] for label in targets if label in moment.boxes]
    if not true_boxes:
        return None
    true_box = min(true_boxes, key=lambda each: float(np.linalg.norm(box.center_m - each.center_m)))
    true_m = np.sort(true_box.size_m)
    off_m = np.abs(np.sort(box.size_m) - true_m)
    center_m = float(np.linalg.norm(box.center_m - true_box.center_m))
    return BoxError(center_m, float(off_m.mean()), float((off_m / true_m).mean()))


def target_point(segmentation: Segmentation, moment: GroundTruthSample) -> NDArray[np.float64] | None:
    """The median (3,) of the points of the best instance, in meters; None where it has none."""
    if not segmentation.instances:
        return None
    points_m = back_project(moment.depth_m, segmentation.instances[0].mask, moment.intrinsics)
    return np.asarray(np.median(points_m, axis=0)) if len(points_m) else None


def is_on(point_m: NDArray[np.float64], labels: tuple[int, ...], moment: GroundTruthSample) -> bool:
    """Whether a point is on one of the things: seen at its pixels, and as far away as they are."""
    x, y = (round(each) for each in project(point_m, moment.intrinsics))
    around = moment.labels[max(0, y - NEAR_PX) : y + NEAR_PX + 1, max(0, x - NEAR_PX) : x + NEAR_PX + 1]
    for label in set(labels) & set(around.ravel().tolist()):
        distances_m = back_project(moment.depth_m, moment.labels == label, moment.intrinsics)[:, 2]
        if distances_m.min() - NEAR_M <= point_m[2] <= distances_m.max() + NEAR_M:
            return True
    return False
