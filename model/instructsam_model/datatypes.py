"""Types that all packages exchange: frozen dataclasses with numpy arrays, validated on construction.

Code that gets one of these objects need not validate it again. Nothing here imports torch.

Notation:
    H, W  height and width of the image, pixels
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import ConfigError, FrameError, RequestError

MAX_INSTRUCTION_CHARS = 4096
"""Longest instruction that is accepted. The paper's longest have about 60 words (350 characters)."""


def is_unicode(text: str) -> bool:
    """Return whether a string has no surrogates, which JSON and command lines can contain and UTF-8 cannot encode."""
    return not any('\ud800' <= char <= '\udfff' for char in text)


# eq=False: compared by identity, by which a segmenter recognizes the last frame; == of arrays is not one bool.
@dataclass(frozen=True, eq=False)
class Frame:
    """One camera image.

    Attributes:
        image_rgb: uint8 (H, W, 3), both sides at least 1.
        stamp_ns: time of capture, nanoseconds since the epoch of the camera's clock.
        frame_id: optical frame of the camera (REP-103).

    Raises:
        FrameError: a shape or dtype is not as above.
    """

    image_rgb: NDArray[np.uint8]
    stamp_ns: int = 0
    frame_id: str = ''

    def __post_init__(self) -> None:
        image = self.image_rgb
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise FrameError(f'image_rgb: expected uint8 (H, W, 3) with H, W >= 1, got {image.dtype} {image.shape}')

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image_rgb.shape[1], self.image_rgb.shape[0]


@dataclass(frozen=True)
class Instruction:
    """What to look for, as free-form text.

    Attributes:
        text: free-form, 1 to `MAX_INSTRUCTION_CHARS` characters that are not all white space or control characters.
        id: chosen by the caller to recognize the result; may be empty.

    Raises:
        RequestError: the text is empty, too long, or no valid Unicode.
    """

    text: str
    id: str = ''

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise RequestError('instruction: expected text such as "the red mug", got an empty string')
        if not any(char.isprintable() and not char.isspace() for char in self.text):
            raise RequestError(
                'instruction: expected text such as "the red mug", got only spaces and control characters'
            )
        if not is_unicode(self.text):
            raise RequestError(f'instruction: expected Unicode text, got a surrogate in {self.text!r}')
        if len(self.text) > MAX_INSTRUCTION_CHARS:
            raise RequestError(
                f'instruction: expected at most {MAX_INSTRUCTION_CHARS} characters, got {len(self.text)}'
            )


@dataclass(frozen=True)
class Selection:
    """Which of a model's candidates become instances.

    Attributes:
        min_score: candidates with this score or less are dropped, 0..1. The paper uses 0.3, and 0.5 for RoboRefIt.
        mask_threshold: a pixel belongs to the object if its probability is higher, 0..1.
        max_instances: maximum number of instances; those with the best scores are kept. A model may find fewer at once,
            such as 20 for each phrase; `Segmentation.truncated` says so.

    Raises:
        ConfigError: a value is out of its range.
    """

    min_score: float = 0.5
    mask_threshold: float = 0.5
    max_instances: int = 100

    def __post_init__(self) -> None:
        for name in ('min_score', 'mask_threshold'):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f'{name}: expected 0..1, got {value}')
        if self.max_instances < 1:
            raise ConfigError(f'max_instances: expected at least 1, got {self.max_instances}')


@dataclass(frozen=True, eq=False)
class Instance:
    """One object that an instruction asks for.

    Attributes:
        mask: bool (H, W), True on the object, at least one pixel.
        box_xyxy: float32 (4,), pixels; x2 and y2 are exclusive, so that x2 - x1 is the width.
        score: confidence that the instruction asks for this object, 0..1.
        label: the phrase that describes it, as the model wrote it.
        id: identity of the object over frames; empty without tracking.

    Raises:
        ValueError: a shape, dtype or range is not as above.
    """

    mask: NDArray[np.bool_]
    box_xyxy: NDArray[np.float32]
    score: float
    label: str = ''
    id: str = ''

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise ValueError(f'mask: expected bool (H, W), got {self.mask.dtype} {self.mask.shape}')
        if self.box_xyxy.shape != (4,) or self.box_xyxy.dtype != np.float32:
            raise ValueError(f'box_xyxy: expected float32 (4,), got {self.box_xyxy.dtype} {self.box_xyxy.shape}')
        # x2 and y2 are exclusive, so they may equal width and height.
        x1, y1, x2, y2 = self.box_xyxy.tolist()
        height, width = self.mask.shape
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise ValueError(f'box_xyxy: expected a box inside {width}x{height}, got {self.box_xyxy.tolist()}')
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f'score: expected 0..1, got {self.score}')


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result for one instruction about one image.

    Attributes:
        instances: best score first; empty if there is no such object.
        instruction: the request.
        text: generated text for people, without special tokens.
        size_wh: width and height of the image, pixels.
        stamp_ns: copied from the frame.
        frame_id: copied from the frame.
        timings: seconds spent in each stage, by name.
        raw_text: generated text with special tokens, for logs and debugging; empty if the model generates no text.
        truncated: there may be more objects: more candidates than `Selection.max_instances` scored above the threshold,
            or all that the model can find at once for a phrase did.

    Raises:
        ValueError: the instances are not sorted or their masks do not have the size of the image.
    """

    instances: tuple[Instance, ...]
    instruction: Instruction
    text: str
    size_wh: tuple[int, int]
    stamp_ns: int = 0
    frame_id: str = ''
    timings: Mapping[str, float] = field(default_factory=dict)
    raw_text: str = ''
    truncated: bool = False

    def __post_init__(self) -> None:
        width, height = self.size_wh
        for instance in self.instances:
            if instance.mask.shape != (height, width):
                raise ValueError(f'instances: expected masks of {(height, width)}, got {instance.mask.shape}')
        # The first instance is the target, so the order is part of the result.
        scores = [instance.score for instance in self.instances]
        if scores != sorted(scores, reverse=True):
            raise ValueError(f'instances: expected the best score first, got {scores}')


def never() -> bool:
    """Return False: the request is not canceled."""
    return False


class Segmenter(Protocol):
    """Finds the instances in an image that an instruction asks for; the contract of every back end.

    * One thread at a time: the thread that loaded a segmenter is the one that calls it.
    * The encoding of the last frame is kept, by the identity of the `Frame` object: further instructions about the same
      object do not encode the image again.
    * Nothing is written to standard output.
    * Steps of requests that take seconds may be reported, see `instructsam_model.progress.ProgressReporter`.
    * Errors are those of `instructsam_model.errors`; any other exception is a bug or a failure of the device.

    `tests/conformance` tests all of this for every back end.
    """

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances in `frame` that `instruction` asks for.

        Args:
            frame: the image.
            instruction: what to look for.
            selection: which instances to keep; None means the default given when loading.
            is_canceled: called between passes of the model, from the same thread; must return at once.

        Raises:
            FrameError: the model cannot process an image of this size.
            CanceledError: `is_canceled` returned True; raised within one pass of the model.
            InferenceError: the model failed, or the segmenter is closed.
        """
        ...

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Prepare for frames of a width and height, so that the first of them takes no longer than others.

        Later results do not depend on it.

        Raises:
            FrameError: the model cannot process an image of this size.
        """
        ...

    def memory_bytes(self) -> int | None:
        """Return the memory that weights and caches take on the device, in bytes; None if it is unknown."""
        ...

    def close(self) -> None:
        """Free weights and caches; afterwards `segment` raises InferenceError. Closing twice is allowed."""
        ...
