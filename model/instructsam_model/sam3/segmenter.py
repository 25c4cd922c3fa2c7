"""`Sam3Segmenter`: SAM3 with concept phrases, as a `Segmenter`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from instructsam_model.datatypes import Frame, Instruction, Segmentation, Selection, never
from instructsam_model.errors import NonFiniteError, raise_if_canceled
from instructsam_model.runtime.device_session import DeviceSession
from instructsam_model.runtime.stages import stage
from instructsam_model.runtime.threads import Threads
from instructsam_model.sam3.duplicates import KEEP_ALL
from instructsam_model.sam3.phrase_detector import PhraseDetections, PhraseDetector
from instructsam_model.sam3.postprocess import select_instances
from instructsam_model.sam3.reading import PhraseReader, ReadInstruction

WARM_UP_INSTRUCTION = Instruction('nothing')


class Sam3Segmenter:
    """Searches an image for the phrases of an instruction, one after the other, on one encoding of the image.

    Args:
        detector: one of the implementations of SAM3.
        selection: default thresholds.
        max_mask_iou: largest IoU of the masks of two instances of a phrase, see `mark_duplicates`.
        read_instruction: finds the phrases in an instruction; None for those between commas.
        threads: CPU threads of a request; None for torch's current number.
    """

    def __init__(
        self,
        detector: PhraseDetector[Any, Any],
        *,
        selection: Selection | None = None,
        read_instruction: ReadInstruction | None = None,
        max_mask_iou: float = KEEP_ALL,
        threads: Threads | None = None,
    ) -> None:
        self.detector = detector
        self.selection = selection or Selection()
        self._read = read_instruction or PhraseReader()
        self._max_mask_iou = max_mask_iou
        self._encoded: tuple[Frame, Any] | None = None
        self._session = DeviceSession(detector.device, detector.weight_bytes(), threads)

    @torch.inference_mode()
    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances in `frame` that the phrases of `instruction` name, see `Segmenter.segment`.

        The label of an instance is its phrase; SAM3 writes no text. `timings` are host times of `encode` (0 if the
        frame is the last one), `detect` and `postprocess`. On a GPU the work of a stage may end in a later one; their
        sum is right.

        Raises:
            RequestError: the instruction has no phrase.
            CanceledError: `is_canceled` returned True.
            NonFiniteError: SAM3 gave NaN or infinity; nothing of the frame and the phrases is kept.
            InferenceError: the segmenter is closed.
        """
        reading = self._read(instruction.text)
        with self._session.use():
            start = time.perf_counter()
            raise_if_canceled(is_canceled)
            encoded = self._encode(frame)
            encoded_at = time.perf_counter()
            found = []
            for phrase in reading.phrases:
                raise_if_canceled(is_canceled)
                found.append(self.detector.detect(encoded, phrase))
            detected_at = time.perf_counter()
            raise_if_canceled(is_canceled)
            with stage('postprocess'), self._dropping_bad_results():
                instances, is_truncated = select_instances(
                    reading.labels,
                    found,
                    frame.size_wh,
                    selection or self.selection,
                    self.detector.to_masks,
                    self._max_mask_iou,
                )
            end = time.perf_counter()
        return Segmentation(
            instances=instances,
            instruction=instruction,
            text=reading.text,
            size_wh=frame.size_wh,
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timings={
                'encode': encoded_at - start,
                'detect': detected_at - encoded_at,
                'postprocess': end - detected_at,
            },
            truncated=is_truncated,
        )

    @torch.inference_mode()
    def predict(self, frame: Frame, phrase: Any) -> PhraseDetections:
        """Return SAM3's own output for one phrase: scores, boxes of its box head, and mask logits, by query.

        Raises:
            InferenceError: the segmenter is closed.
        """
        with self._session.use():
            return self.detector.detect(self._encode(frame), phrase)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Process a blank image of this size, so that memory is reserved and kernels are chosen; nothing is kept."""
        blank = Frame(np.zeros((size_wh[1], size_wh[0], 3), dtype=np.uint8))
        try:
            self.segment(blank, WARM_UP_INSTRUCTION, Selection(min_score=0.0))
        finally:
            self._encoded = None

    def memory_bytes(self) -> int | None:
        """Return the memory that weights and caches take on the device, in bytes; 0 once closed."""
        return self._session.memory_bytes()

    def close(self) -> None:
        """Free the weights, the encoded frame and the encoded phrases."""
        if self._session.is_closed:
            return
        self._encoded = None
        del self.detector
        self._session.close()

    @contextmanager
    def _dropping_bad_results(self) -> Iterator[None]:
        """Keep no encoding of a frame or a phrase that gave NaN."""
        try:
            yield
        except NonFiniteError:
            self._encoded = None
            self.detector.forget()
            raise

    def _encode(self, frame: Frame) -> Any:
        """Encode a frame, unless it is the object encoded last."""
        if self._encoded is None or self._encoded[0] is not frame:
            self._encoded = None  # frees the memory of the last frame before that of the next is allocated
            self._encoded = frame, self.detector.encode(frame)
        return self._encoded[1]
