"""`InstructSAMSegmenter`: finds the instances that an instruction asks for with InstructSAM.

Notation:
    P  phrases of an answer
    K  queries (instance slots) of a phrase
    h, w  height and width of SAM3's mask grid
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from instructsam_model.datatypes import Frame, Instruction, Segmentation, Selection, never
from instructsam_model.errors import NonFiniteError, raise_if_canceled
from instructsam_model.instructsam.answer_cache import AnswerCache, CacheKey
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.tokens import ImagePrompt
from instructsam_model.instructsam.generation import GeneratedAnswer, generate, make_image_prompt
from instructsam_model.instructsam.incremental_decoder import DecoderState, IncrementalDecoder
from instructsam_model.instructsam.inference_mode import get_inference_mode
from instructsam_model.instructsam.inputs import Pixels
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.plain_text import decode_text
from instructsam_model.instructsam.postprocess import select_instances
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS, Preprocessor
from instructsam_model.instructsam.prompt_lookup import AnswerTokens
from instructsam_model.instructsam.scene_change import Thumbnail
from instructsam_model.runtime.device_session import DeviceSession
from instructsam_model.runtime.finite import name_nonfinite, nonfinite_error
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.stages import stage
from instructsam_model.runtime.threads import Threads
from instructsam_model.sam3.duplicates import KEEP_ALL
from instructsam_model.sam3.features import VisionFeatures

WARM_UP_INSTRUCTION = Instruction("Please segment 'nothing'.")


@dataclass
class _EncodedFrame:
    """A frame with its encodings; that of the language model is made when text has to be generated.

    Attributes:
        frame: compared by identity, so that further instructions about the same object reuse the encodings.
        pixels: inputs of both image encoders.
        thumbnail: for change detection; None if answers are never reused.
        vision: SAM3's features.
        prompt: image prompt of the language model; None until the engine's image is set to this frame.
    """

    frame: Frame
    pixels: Pixels
    thumbnail: Thumbnail | None
    vision: VisionFeatures
    prompt: ImagePrompt | None = None


class InstructSAMSegmenter:
    """Runs InstructSAM on one device; see `Segmenter` for the contract.

    Args:
        network: in evaluation mode.
        preprocessor: of the network's checkpoint.
        engine: runs the forward passes; None for that of `choose_engine`.
        inference_mode: name of an `InferenceMode`.
        selection: default thresholds.
        max_new_tokens: maximum length of the generated text, tokens.
        speculative_decoding: use the last answer to an instruction as draft tokens, see `generate`: while the answer
            stays the same, each frame takes one pass of the language model. Results differ by rounding only.
        max_cached_frames: while the scene does not change (`is_scene_unchanged`), reuse text and queries of an earlier
            frame for up to this many frames, which then run SAM3 only; 0: never. Frames of different cameras have
            different `frame_id`s.
        max_mask_iou: largest IoU of the masks of two instances of a phrase, see `mark_duplicates`.
        threads: CPU threads; None for torch's present setting.

    Attributes:
        network: the network.
        preprocessor: its preprocessor.
        engine: its engine.
        answer_cache: the latest answers.
        inference_mode: details of inference.
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
        max_mask_iou: float = KEEP_ALL,
        threads: Threads | None = None,
    ) -> None:
        self.network = network
        self.preprocessor = preprocessor
        self.engine = engine or choose_engine(network)
        self.selection = selection or Selection()
        self.max_new_tokens = max_new_tokens
        self.max_mask_iou = max_mask_iou
        self.inference_mode = get_inference_mode(inference_mode)
        self.answer_cache = AnswerCache(speculative_decoding=speculative_decoding, max_cached_frames=max_cached_frames)
        self._encoded: _EncodedFrame | None = None
        self._session = DeviceSession(network.device, count_bytes(network), threads)

    @property
    def encoded_frame(self) -> Frame | None:
        """The frame whose encodings are kept; None if there is none."""
        return self._encoded.frame if self._encoded is not None else None

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances in `frame` that `instruction` asks for, see `Segmenter.segment`.

        `timings` are host times: `encode` (SAM3's encoder; about 0 for a known frame), `answer` (the language model
        with its image encoder), `ground` (SAM3's detector) and `postprocess`. On a GPU the work of a stage may finish
        in a later one; the sum is correct.

        Raises:
            FrameError: the network cannot process an image of this size.
            CanceledError: `is_canceled` returned True.
            NonFiniteError: a stage gave NaN or infinity; nothing of the frame is kept.
            InferenceError: the segmenter is closed.
        """
        with self._session.use(), self._dropping_bad_frames():
            prediction, timings = self._predict(frame, instruction, is_canceled)
            start = time.perf_counter()
            with stage('postprocess'):
                instances, is_truncated = select_instances(
                    prediction, frame.size_wh, selection or self.selection, self.max_mask_iou
                )
            timings['postprocess'] = time.perf_counter() - start
        return Segmentation(
            instances=instances,
            instruction=instruction,
            text=prediction.text,
            raw_text=prediction.answer,
            size_wh=frame.size_wh,
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            timings=timings,
            truncated=is_truncated,
        )

    def predict(self, frame: Frame, instruction: Instruction) -> Prediction:
        """Return the network's output: `mask_logits` [P, K, h, w], `scores` [P, K], the phrases and the text."""
        with self._session.use():
            return self._predict(frame, instruction, never)[0]

    @torch.inference_mode()
    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Compile and capture the passes for frames of a size; caches stay as they are.

        Raises:
            FrameError: the network cannot process images of this size.
        """
        blank = Frame(np.zeros((size_wh[1], size_wh[0], 3), dtype=np.uint8))
        cache, self.answer_cache = self.answer_cache, AnswerCache(speculative_decoding=False, max_cached_frames=0)
        try:
            self.segment(blank, WARM_UP_INSTRUCTION, Selection(min_score=0.0))
            with self._session.use():
                pixels = self._encode(blank).pixels
                self.engine.prepare(pixels, self._image_prompt(pixels))
        finally:
            self.answer_cache, self._encoded = cache, None

    def memory_bytes(self) -> int | None:
        """Return the memory that weights and caches take on the device, in bytes; 0 once closed."""
        return self._session.memory_bytes()

    def close(self) -> None:
        """Free the weights, the engine's graphs and buffers, and the cached frame."""
        if self._session.is_closed:
            return
        self._encoded = None
        del self.network, self.engine, self.answer_cache
        self._session.close()

    @torch.inference_mode()
    def _predict(
        self, frame: Frame, instruction: Instruction, is_canceled: Callable[[], bool]
    ) -> tuple[Prediction, dict[str, float]]:
        """Return the prediction, and the seconds of each stage."""
        times = [time.perf_counter()]
        raise_if_canceled(is_canceled)
        encoded = self._encode(frame)
        times.append(time.perf_counter())
        answer = self.answer_cache.reuse(CacheKey.of(frame, instruction), encoded.thumbnail)
        if answer is None:
            answer = self._generate(encoded, instruction, is_canceled)
        times.append(time.perf_counter())
        raise_if_canceled(is_canceled)
        prediction = self._ground(encoded.vision, answer)
        times.append(time.perf_counter())
        seconds = (after - before for before, after in pairwise(times))
        return prediction, dict(zip(('encode', 'answer', 'ground'), seconds, strict=True))

    @contextmanager
    def _dropping_bad_frames(self) -> Iterator[None]:
        """Keep no encoding of a frame that gave NaN, and name SAM3's encoder if it was the first to give one."""
        try:
            yield
        except NonFiniteError as error:
            encoded, self._encoded = self._encoded, None
            maps = {} if encoded is None else {f'level {n}': level for n, level in enumerate(encoded.vision.maps)}
            if name_nonfinite(maps):
                raise nonfinite_error('SAM3 image encoder', maps) from error
            raise

    def _encode(self, frame: Frame) -> _EncodedFrame:
        """Encode a frame with SAM3, unless it is the last encoded one."""
        if self._encoded is None or self._encoded.frame is not frame:
            self._encoded = None  # frees the memory of the last frame before this one needs it
            with stage('preprocess'):
                pixels = self.preprocessor.pixels(frame, self.network.device)
            with stage('sam3 vision'):
                vision = self.engine.encode(pixels)
            self._encoded = _EncodedFrame(frame, pixels, self.answer_cache.fingerprint(frame), vision)
        return self._encoded

    def _generate(
        self, encoded: _EncodedFrame, instruction: Instruction, is_canceled: Callable[[], bool]
    ) -> GeneratedAnswer:
        """Generate the answer with the language model, and cache it."""
        # The image prompt of a frame stays in the key-value cache for further instructions.
        is_prefilled = encoded.prompt is not None
        if encoded.prompt is None:
            prompt = self._image_prompt(encoded.pixels)
            raise_if_canceled(is_canceled)
            with stage('qwen vision'):
                self.engine.set_image(encoded.pixels, prompt)
            encoded.prompt = prompt
        special, stop_ids = self.network.config.tokens, self.network.config.stop_tokens
        answer_tokens = AnswerTokens(special.ref_start, special.ref_end, stop_ids[0] if stop_ids else -1)
        expected_phrases = self.answer_cache.style.predict(instruction.text)
        start = DecoderState(len(encoded.prompt), encoded.prompt.next_position)
        key = CacheKey.of(encoded.frame, instruction)
        answer = generate(
            IncrementalDecoder(self.engine, self.inference_mode, start, is_prefilled=is_prefilled),
            self.preprocessor.instruction(instruction.text),
            special,
            stop_ids=stop_ids,
            max_new_tokens=self.max_new_tokens,
            draft_ids=self.answer_cache.draft(key),
            propose=self.preprocessor.prompt_lookup(instruction.text, expected_phrases, answer_tokens).propose,
            is_canceled=is_canceled,
        )
        phrases = [self._phrase_text(answer, span) for span in answer.phrase_spans]
        self.answer_cache.put(key, answer, encoded.thumbnail, phrases)
        return answer

    def _image_prompt(self, pixels: Pixels) -> ImagePrompt:
        prompt_ids = self.preprocessor.image_prefix(pixels.grid_thw)
        return make_image_prompt(prompt_ids, pixels.grid_thw, self.network.config, self.inference_mode)

    def _ground(self, vision: VisionFeatures, answer: GeneratedAnswer) -> Prediction:
        """Decode the instance slots of all phrases of an answer in one pass of SAM3's detector."""
        phrase_ids, phrase_mask = answer.phrase_rows(MAX_PHRASE_TOKENS, int(self.inference_mode.phrase_delimiters))
        with stage('sam3 decode'):
            if answer.query_states is None:
                prediction = self.network.empty_prediction()
            else:
                prediction = self.engine.ground(vision, answer.query_states, phrase_ids, phrase_mask)
        phrases = tuple(self._phrase_text(answer, span) for span in answer.phrase_spans)
        text = decode_text(self.preprocessor.tokenizer, answer.token_ids)
        return replace(prediction, phrases=phrases, text=text, answer=self._raw_text(answer))

    def _phrase_text(self, answer: GeneratedAnswer, span: tuple[int, int]) -> str:
        return self.preprocessor.decode(answer.token_ids[slice(*span)]).strip()

    def _raw_text(self, answer: GeneratedAnswer) -> str:
        """Return the answer's text with each injected block as `<|mask_start|>[SEG]<|mask_end|>`."""
        tokens = self.network.config.tokens
        ids: list[int] = []
        for token in answer.token_ids:
            ids += [token, tokens.mask_start, tokens.query, tokens.mask_end] if token == tokens.ref_end else [token]
        return self.preprocessor.decode(ids)
