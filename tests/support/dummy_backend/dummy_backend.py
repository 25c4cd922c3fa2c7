"""A back end from outside the package: finds bright pixels. What a third party has to write, without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from instructsam_model.backends import Backend, LoadSettings
from instructsam_model.datatypes import Frame, Instance, Instruction, Segmentation, Selection, never
from instructsam_model.errors import InferenceError, raise_if_canceled
from instructsam_model.masks import tight_box
from instructsam_model.options import Options, option
from instructsam_model.weights.hub import CheckpointSource


@dataclass(frozen=True)
class DummyOptions(Options):
    """Options of the dummy."""

    brightness: int = option(127, 'Pixels whose channels are all above belong to the instance.', range_=(0, 255))


@dataclass
class DummySegmenter:
    """Finds one instance: all bright pixels."""

    brightness: int
    selection: Selection
    is_closed: bool = False

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """See `Segmenter.segment`."""
        if self.is_closed:
            raise InferenceError('the segmenter is closed; load another one')
        raise_if_canceled(is_canceled)
        mask = (frame.image_rgb > self.brightness).all(axis=2)
        box_xyxy = tight_box(mask)
        is_found = box_xyxy is not None and (selection or self.selection).min_score < 0.9
        instances = (Instance(mask, box_xyxy, 0.9, instruction.text),) if is_found else ()
        return Segmentation(instances, instruction, '', frame.size_wh, frame.stamp_ns, frame.frame_id)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Do nothing."""

    def memory_bytes(self) -> int | None:
        """Return None: unknown."""
        return None

    def close(self) -> None:
        """Refuse further requests."""
        self.is_closed = True


def matches(source: CheckpointSource) -> bool:
    """Return whether the configuration says that it is a dummy's."""
    return source.config.get('model_type') == 'dummy'


def load(source: CheckpointSource, settings: LoadSettings, options: DummyOptions) -> DummySegmenter:
    """Make the segmenter; the checkpoint has no weights."""
    return DummySegmenter(options.brightness, settings.selection or Selection())


BACKEND = Backend('dummy', 'Bright pixels, for tests of the registry.', DummyOptions, matches, load)
