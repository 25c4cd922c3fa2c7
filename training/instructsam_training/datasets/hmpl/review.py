"""The queue of candidates that people have to correct or delete, and points that select the instances of a target.

Targets that are some of the instances of a class (1toN) are not made automatically: people click on the instances and
write the instructions. A second person inspects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle, decode_rle
from instructsam_training.datasets.hmpl.candidate import Candidate
from instructsam_training.datasets.io.coco_file import Id
from instructsam_training.datasets.io.sam3i_file import LevelTexts


@dataclass(frozen=True)
class Decision:
    """What a person decided about a candidate.

    Attributes:
        candidate: its id.
        texts: the corrected texts; None to delete it.
        reviewer: who decided.
    """

    candidate: str
    texts: LevelTexts | None
    reviewer: str


def review_queue(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates that wait for people: by image, so that each image is looked at once."""
    return sorted(
        (candidate for candidate in candidates if candidate.state == 'review'),
        key=lambda candidate: (candidate.file_name, candidate.id),
    )


def apply_decisions(candidates: Iterable[Candidate], decisions: Sequence[Decision]) -> list[Candidate]:
    """Return all candidates, those that were decided on in their new state.

    Raises:
        ValueError: a decision is about a candidate that does not wait for people, or two are about the same one.
    """
    by_id: dict[str, Decision] = {}
    for decision in decisions:
        if by_id.setdefault(decision.candidate, decision) is not decision:
            first = by_id[decision.candidate].reviewer
            raise ValueError(
                f'{decision.candidate}: expected one decision, got those of {first} and {decision.reviewer}'
            )
    decided = []
    for candidate in candidates:
        found = by_id.pop(candidate.id, None)
        decided.append(candidate if found is None else candidate.reviewed(found.texts))
    if by_id:
        raise ValueError(f'expected decisions about known candidates, got some about {", ".join(sorted(by_id))}')
    return decided


def instances_at(points_xy: Sequence[tuple[float, float]], masks: Mapping[Id, Rle]) -> tuple[Id, ...]:
    """Return the ids of the instances that points are on, in the order of the masks; where masks overlap, the smallest.

    Args:
        points_xy: pixels from the left and from the top of the image; a pixel covers its whole coordinates.
        masks: of the instances of the image.

    Raises:
        ValueError: there is no point, or one of them is on no instance.
    """
    if not points_xy:
        raise ValueError('points: expected at least one, got none')
    found = {_instance_at(point, masks) for point in points_xy}
    return tuple(instance for instance in masks if instance in found)


def _instance_at(point_xy: tuple[float, float], masks: Mapping[Id, Rle]) -> Id:
    column, row = (int(value // 1) for value in point_xy)
    hit = [
        (int(coco_mask.area(mask)), instance)
        for instance, mask in masks.items()
        if 0 <= row < mask['size'][0] and 0 <= column < mask['size'][1] and decode_rle(mask)[row, column]
    ]
    if not hit:
        raise ValueError(f'points: expected each on an instance, ({point_xy[0]}, {point_xy[1]}) is on none')
    # A part lies on its object: the smaller of the two is meant.
    return min(hit, key=lambda each: each[0])[1]
