"""`InstructSAMSegmenter`: frame and instruction in, instance masks out."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from instructsam_model.datatypes import Frame, Instruction, Segmentation, Selection, never
from instructsam_model.errors import InferenceError, raise_if_canceled
from instructsam_model.instructsam.answer_cache import AnswerCache, Asked
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.tokens import ImagePrompt
from instructsam_model.instructsam.generation import Answer, generate, lay_out_image
from instructsam_model.instructsam.incremental_decoder import IncrementalDecoder, Mark
from instructsam_model.instructsam.inference_mode import get_inference_mode
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM, Prediction
from instructsam_model.instructsam.postprocess import select_instances
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS, Preprocessor
from instructsam_model.instructsam.prompt_lookup import AnswerTokens
from instructsam_model.instructsam.scene_change import Thumbnail
from instructsam_model.instructsam.special_text import plain_text
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.stages import stage
from instructsam_model.runtime.threads import Threads
from instructsam_model.sam3.detector import VisionFeatures

logger = logging.getLogger(__name__)


WARM_UP_INSTRUCTION = Instruction("Please segment 'nothing'.")


@dataclass
class _Seen:
    """A frame, and what has been made of it: the language model sees it only when it is asked.

    Attributes:
        frame: by its identity further instructions find what is here.
        pixels: both encoders' inputs.
        thumbnail: for change detection, where answers may be reused.
        vision: SAM3's features.
        prompt: set once the engine has opened the image for the language model.
    """

    frame: Frame
    pixels: Pixels
    thumbnail: Thumbnail | None
    vision: VisionFeatures
    prompt: ImagePrompt | None = None


class InstructSAMSegmenter:
    """Runs the network on one device. Not for several threads at once: whoever owns it calls it.

    The last frame's encoding is kept: further instructions on the same `Frame` object cost no vision encoder.

    Args:
        network: in evaluation mode.
        preprocessor: of its checkpoint.
        engine: that runs it; None for the one that `choose_engine` finds.
        inference_mode: name of an `InferenceMode`.
        selection: default thresholds.
        max_new_tokens: longest answer.
        speculative_decoding: use the last answer to an instruction as draft tokens, see `generate`: while it stays the
            same, each frame takes one pass of the language model. Results differ by rounding only.
        max_cached_frames: while the image of a camera hardly changes, so many frames may be answered with what the
            language model said about an earlier one, words and queries, so that SAM3 alone looks at them; see
            `changes_little`. 0 for none. Cameras are told apart by the `frame_id` of their frames.
        threads: of the CPU, for an answer; None for what torch has at the time.
    """

    def __init__(
        self,
        network: InstructSAM,
        preprocessor: Preprocessor,
        *,
        engine: Engine | None = None,
        inference_mode: str = 'trained',
        selection: Selection | None = None,
        max_new_tokens: int = 256,
        speculative_decoding: bool = False,
        max_cached_frames: int = 0,
        threads: Threads | None = None,
    ) -> None:
        self.network = network
        self.preprocessor = preprocessor
        self.engine = engine or choose_engine(network)
        self.selection = selection or Selection()
        self.max_new_tokens = max_new_tokens
        self._mode = get_inference_mode(inference_mode)
        self._memory = AnswerCache(speculative_decoding=speculative_decoding, max_cached_frames=max_cached_frames)
        self._threads = threads
        self._seen: _Seen | None = None
        self._is_closed = False

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances in `frame` that `instruction` asks for, see `Segmenter.segment`.

        `timings` are host times of `encode` (SAM3's; 0 when the frame was known), `answer` (the language model's, its
        look at the frame included), `ground` and `postprocess`. On a GPU the work of a stage may end in a later one;
        their sum is right.

        Raises:
            FrameError: the network cannot process an image of this size.
            CanceledError: `is_canceled` returned True.
            InferenceError: the segmenter is closed.
        """
        with self._computing():
            prediction, timings = self._predict(frame, instruction, is_canceled)
            start = time.perf_counter()
            with stage('postprocess'):
                instances = select_instances(prediction, frame.size_wh, selection or self.selection)
            timings['postprocess'] = time.perf_counter() - start
        return Segmentation(
            instances=instances,
            instruction=instruction,
            text=plain_text(prediction.answer),
            raw_text=prediction.answer,
            size_wh=frame.size_wh,
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timings=timings,
        )

    def predict(self, frame: Frame, instruction: Instruction) -> Prediction:
        """The network's own output: `mask_logits` [P, K, h, w], `scores` [P, K], the phrases and the answer's text."""
        with self._computing():
            return self._predict(frame, instruction, never)[0]

    @torch.inference_mode()
    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Compile and capture what frames of a size need; nothing is remembered of it.

        Raises:
            FrameError: the size is not one that the network can see.
        """
        blank = Frame(np.zeros((size_wh[1], size_wh[0], 3), dtype=np.uint8))
        memory, self._memory = self._memory, AnswerCache(speculative_decoding=False, max_cached_frames=0)
        try:
            self.segment(blank, WARM_UP_INSTRUCTION, Selection(min_score=0.0))
            with self._computing():
                pixels = self._see(blank).pixels
                self.engine.prepare(pixels, self._lay_out(pixels))
        finally:
            self._memory, self._seen = memory, None

    def memory_bytes(self) -> int | None:
        """Return the memory that torch has reserved on the GPU; on a CPU the size of the weights; 0 once closed."""
        if self._is_closed:
            return 0
        device = self.network.device
        return int(torch.cuda.memory_reserved(device)) if device.type == 'cuda' else count_bytes(self.network)

    def close(self) -> None:
        """Free the weights, the engine's graphs and buffers, and the cached frame."""
        if self._is_closed:
            return
        device = self.network.device
        self._is_closed, self._seen = True, None
        del self.network, self.engine, self._memory
        gc.collect()  # graphs and modules refer to each other
        if device.type == 'cuda':
            torch.cuda.empty_cache()

    def _computing(self) -> AbstractContextManager[None]:
        if self._is_closed:
            raise InferenceError('the segmenter is closed; load another one')
        return self._threads.in_use() if self._threads is not None else nullcontext()

    @torch.inference_mode()
    def _predict(
        self, frame: Frame, instruction: Instruction, is_canceled: Callable[[], bool]
    ) -> tuple[Prediction, dict[str, float]]:
        """The prediction, and the seconds each stage took."""
        marks = [time.perf_counter()]
        raise_if_canceled(is_canceled)
        seen = self._see(frame)
        marks.append(time.perf_counter())
        answer = self._memory.standing(_asked(frame, instruction), seen.thumbnail) or self._write(
            seen, instruction, is_canceled
        )
        marks.append(time.perf_counter())
        raise_if_canceled(is_canceled)
        prediction = self._ground(seen.vision, answer)
        marks.append(time.perf_counter())
        seconds = (after - before for before, after in pairwise(marks))
        return prediction, dict(zip(('encode', 'answer', 'ground'), seconds, strict=True))

    def _see(self, frame: Frame) -> _Seen:
        """Let SAM3 encode a frame, unless it is the one encoded last."""
        if self._seen is None or self._seen.frame is not frame:
            self._seen = None  # lets go of the last frame's memory before the next one's is needed
            with stage('preprocess'):
                pixels = self.preprocessor.pixels(frame, self.network.device)
            with stage('sam3 vision'):
                vision = self.engine.encode(pixels)
            self._seen = _Seen(frame, pixels, self._memory.look(frame), vision)
        return self._seen

    def _write(self, seen: _Seen, instruction: Instruction, is_canceled: Callable[[], bool]) -> Answer:
        """Let the language model see the image, unless it has, and answer."""
        is_known = seen.prompt is not None
        if seen.prompt is None:
            prompt = self._lay_out(seen.pixels)
            raise_if_canceled(is_canceled)
            with stage('qwen vision'):
                self.engine.open_image(seen.pixels, prompt)
            seen.prompt = prompt
        special, stop_ids = self.network.config.tokens, self.network.config.stop_tokens
        end_tokens = AnswerTokens(special.ref_start, special.ref_end, stop_ids[0] if stop_ids else -1)
        phrases = self._memory.style.foresee(instruction.text)
        start = Mark(len(seen.prompt), seen.prompt.next_position)
        asked = _asked(seen.frame, instruction)
        answer = generate(
            IncrementalDecoder(self.engine, self._mode, start, image_is_read=is_known),
            self.preprocessor.instruction(instruction.text),
            special,
            stop_ids=stop_ids,
            max_new_tokens=self.max_new_tokens,
            draft_ids=self._memory.draft(asked),
            propose=self.preprocessor.prompt_lookup(instruction.text, phrases, end_tokens).propose,
            is_canceled=is_canceled,
        )
        written = [self._decode(answer, span) for span in answer.phrase_spans]
        self._memory.keep(asked, answer, seen.thumbnail, written)
        return answer

    def _lay_out(self, pixels: Pixels) -> ImagePrompt:
        prompt_ids = self.preprocessor.image_prefix(pixels.grid_thw)
        return lay_out_image(prompt_ids, pixels.grid_thw, self.network.config, self._mode)

    def _ground(self, vision: VisionFeatures, answer: Answer) -> Prediction:
        """Decode the slots of an answer's phrases, all in one pass of SAM3."""
        delimiter = int(self._mode.phrase_delimiters)
        count = len(answer.phrase_spans)
        phrase_ids = torch.zeros(count, MAX_PHRASE_TOKENS, dtype=torch.long)
        phrase_mask = torch.zeros(count, MAX_PHRASE_TOKENS, dtype=torch.bool)
        for row, (start, end) in enumerate(answer.phrase_spans):
            ids = answer.token_ids[max(start - delimiter, 0) : end + delimiter][:MAX_PHRASE_TOKENS]
            phrase_ids[row, : len(ids)] = torch.tensor(ids)
            phrase_mask[row, : len(ids)] = True
        with stage('sam3 decode'):
            if answer.query_states is None:
                prediction = self.network.ground_nothing()
            else:
                prediction = self.engine.ground(vision, answer.query_states, phrase_ids, phrase_mask)
        phrases = tuple(self._decode(answer, span) for span in answer.phrase_spans)
        return replace(prediction, phrases=phrases, answer=self._render(answer))

    def _decode(self, answer: Answer, span: tuple[int, int]) -> str:
        """A phrase as text."""
        return self.preprocessor.decode(answer.token_ids[slice(*span)]).strip()

    def _render(self, answer: Answer) -> str:
        """The answer's text, each injected block shown as `<|mask_start|>[SEG]<|mask_end|>`."""
        tokens = self.network.config.tokens
        shown: list[int] = []
        for token in answer.token_ids:
            shown += [token, tokens.mask_start, tokens.query, tokens.mask_end] if token == tokens.ref_end else [token]
        return self.preprocessor.decode(shown)


def _asked(frame: Frame, instruction: Instruction) -> Asked:
    """What an answer is remembered under."""
    return frame.frame_id, instruction.text
