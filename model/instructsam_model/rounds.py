"""`RepeatingSegmenter`: finds more instances than a model can find at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instructsam_model.datatypes import Frame, Instance, Instruction, Segmentation, Segmenter, Selection, never
from instructsam_model.masks import mask_iou, merge_masks

DUPLICATE_IOU = 0.5
"""An instance whose mask overlaps one of an earlier round by more is the same object."""


class RepeatingSegmenter:
    """Asks a segmenter again for the rest of many objects, with the instances found so far covered.

    There is a second round if the first finds at least half of the K instances of a phrase that are possible: a model
    rarely is sure of all K, and an instruction that means one object must not get another one. Covered pixels have the
    mean color of the others. A round that finds nothing new is the last. Rounds after the first replace the encoding
    that the segmenter keeps, so a further instruction about the same frame encodes it again.

    Args:
        segmenter: finds at most `num_queries` instances of a phrase; labels instances with their phrase.
        max_rounds: maximum number of rounds in all.
        num_queries: K.
        selection: default thresholds, those of the segmenter.
    """

    def __init__(self, segmenter: Segmenter, max_rounds: int, num_queries: int, selection: Selection) -> None:
        self.segmenter = segmenter
        self.selection = selection
        self._max_rounds = max_rounds
        self._num_queries = num_queries

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances in `frame` that `instruction` asks for, see `Segmenter.segment`.

        `timings` are sums over the rounds; text is that of the first.
        """
        selection = selection or self.selection
        result = self.segmenter.segment(frame, instruction, selection, is_canceled=is_canceled)
        rounds = self._max_rounds if self._is_crowded(result) else 1
        for number in range(1, rounds):
            if len(result.instances) >= selection.max_instances:
                break
            # Another frame_id, so that no round reuses text or queries of another one.
            image_rgb = cover(frame.image_rgb, result.instances)
            covered = Frame(image_rgb, frame.stamp_ns, f'{frame.frame_id}#{number}')
            rest = self.segmenter.segment(covered, instruction, selection, is_canceled=is_canceled)
            found = len(result.instances)
            result = merge(result, rest, selection.max_instances)
            if len(result.instances) == found:
                break
        return result

    def _is_crowded(self, result: Segmentation) -> bool:
        phrases = Counter(instance.label for instance in result.instances)
        return 2 * max(phrases.values(), default=0) >= self._num_queries

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """See `Segmenter.warm_up`."""
        self.segmenter.warm_up(size_wh)

    def memory_bytes(self) -> int | None:
        """See `Segmenter.memory_bytes`."""
        return self.segmenter.memory_bytes()

    def close(self) -> None:
        """See `Segmenter.close`."""
        self.segmenter.close()


def cover(image_rgb: NDArray[np.uint8], instances: Iterable[Instance]) -> NDArray[np.uint8]:
    """Return a copy of an image (H, W, 3) with the mean color of all other pixels on the instances."""
    mask = merge_masks((instance.mask for instance in instances), image_rgb.shape[:2])
    covered: NDArray[np.uint8] = image_rgb.copy()
    if not mask.all():
        covered[mask] = image_rgb[~mask].mean(axis=0).round()
    return covered


def merge(result: Segmentation, rest: Segmentation, max_instances: int) -> Segmentation:
    """Return a result with the instances of a further round that it lacks, best score first."""
    new = [
        instance
        for instance in rest.instances
        if all(mask_iou(instance.mask, found.mask) <= DUPLICATE_IOU for found in result.instances)
    ]
    ranked = sorted((*result.instances, *new), key=lambda instance: -instance.score)
    timings = {name: seconds + rest.timings.get(name, 0.0) for name, seconds in result.timings.items()}
    is_truncated = rest.truncated or len(ranked) > max_instances
    return replace(result, instances=tuple(ranked[:max_instances]), timings=timings, truncated=is_truncated)
