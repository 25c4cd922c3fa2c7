"""`Oracle`: a scripted vision-language model that knows the ground truth of a tabletop data set.

It reads the question and the masks of a message as SAM3-Agent made them, instead of the pixels of the drawn numbers;
all else, from the prompts to SAM3 and the drawing, is what a real model gets. Its mistakes are drawn from the seed, the
question and the number of the call alone, so that runs can be stopped, resumed and shared by processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from instructsam_model.datatypes import never
from instructsam_model.errors import ConfigError, InferenceError, raise_if_canceled
from instructsam_model.masks import mask_iou
from instructsam_model.sam3_agent.core.actions import Reply
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.limits import Usage
from instructsam_model.sam3_agent.core.messages import CallKind, ImagePart, Message, TextPart
from instructsam_model.sam3_agent.vlm.vlm import REPLY_TOKENS
from instructsam_training.tabletop.oracle.calls import Call, examine, malform_verdict, report, segment, select, verdict
from instructsam_training.tabletop.oracle.mistakes import make_mistake, possible_mistakes
from instructsam_training.tabletop.oracle.questions import Key, Question, hash_image

MATCH_IOU = 0.5
"""A mask shows a target if their IoU is at least this; it can show one only, because targets do not overlap."""
SMALL_SHARE = 0.005
"""A mask of a smaller share of the image is looked at on its own before it is selected."""
CHARS_PER_TOKEN = 4
PIXELS_PER_TOKEN = 32
"""Side of the square of an image that is one token, as in Qwen3-VL."""


@dataclass
class _Run:
    """What the oracle remembers of one run of the agent."""

    question: Question
    calls: int = 0
    searched: set[str] = field(default_factory=set)
    is_examined: bool = False


class Oracle:
    """Answers the messages of SAM3-Agent about the questions that it knows; one run at a time.

    Args:
        questions: by image and text.
        error_rate: share of the replies that have a mistake, 0..1.
        seed: of the mistakes.

    Raises:
        ConfigError: the error rate is no share.
    """

    def __init__(self, questions: Mapping[Key, Question], error_rate: float = 0.0, seed: int = 0) -> None:
        if not 0 <= error_rate <= 1:
            raise ConfigError(f'error_rate: expected 0..1, got {error_rate}')
        self._questions = questions
        self._error_rate = error_rate
        self._seed = seed
        self._run: _Run | None = None

    def chat(
        self,
        messages: Sequence[Message],
        kind: CallKind,
        *,
        max_tokens: int = REPLY_TOKENS,
        timeout_s: float | None = None,
        is_canceled: Callable[[], bool] = never,
    ) -> Reply:
        """Return the next reply, see `Vlm.chat`, at once and however long; numbers of tokens are estimates.

        Raises:
            CanceledError: `is_canceled` returned True.
            InferenceError: the messages are about a question that is not known.
        """
        raise_if_canceled(is_canceled)
        # A run begins with the system prompt and the question alone.
        if kind == 'main' and len(messages) == 2:
            self._run = _Run(self._find_question(messages))
        if self._run is None:
            raise InferenceError('oracle: expected the first message of a run, got a later one')
        self._run.calls += 1
        rng = Random(f'{self._seed}/{self._run.question.id}/{self._run.calls}')
        is_wrong = rng.random() < self._error_rate
        text = (self._check if kind == 'check' else self._act)(self._run, messages, rng, is_wrong=is_wrong)
        usage = Usage(_count_tokens(messages), math.ceil(len(text) / CHARS_PER_TOKEN))
        return Reply(text, usage, 'stop')

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _find_question(self, messages: Sequence[Message]) -> Question:
        parts = [part for message in messages for part in message.parts]
        images = [part.pixels for part in parts if isinstance(part, ImagePart) and part.pixels is not None]
        texts = [part.slots['query'] for part in parts if isinstance(part, TextPart) and 'query' in part.slots]
        question = self._questions.get((hash_image(images[0]), texts[0])) if images and texts else None
        if question is None:
            raise InferenceError(
                f'oracle: knows {len(self._questions)} questions about its own images, got {", ".join(texts) or "none"}'
            )
        return question

    def _act(self, run: _Run, messages: Sequence[Message], rng: Random, *, is_wrong: bool) -> str:
        """Return the next tool call."""
        shown = _shown_masks(messages)
        call = _plan(run, shown)
        if is_wrong:
            count = len(shown) if shown is not None else 0
            return make_mistake(rng.choice(possible_mistakes(call, count)), call, count, rng)
        run.searched |= {*call.parameters.get('text_prompt', '').splitlines()}
        run.is_examined = run.is_examined or call == examine()
        return call.text

    def _check(self, run: _Run, messages: Sequence[Message], rng: Random, *, is_wrong: bool) -> str:
        """Return the verdict about the mask of the messages."""
        # Not in the last message, if the verdict is asked for again.
        parts = [part for message in messages for part in message.parts]
        views = [part.view for part in parts if isinstance(part, ImagePart) and part.view.kind == 'mask']
        if not views or views[0].detections is None or views[0].index is None:
            raise InferenceError('oracle: expected the image of a mask, got none')
        is_right = views[0].index + 1 in _match(run.question, views[0].detections)[0]
        if is_wrong and rng.random() < 0.5:
            return malform_verdict(rng)
        return verdict(accept=is_right != is_wrong)


def _plan(run: _Run, shown: Detections | None) -> Call:
    """Return the right call.

    Args:
        run: the question, and the phrases that were looked for.
        shown: masks in the newest image; None if it shows none.
    """
    question = run.question
    # SAM3 was asked once and the scene has no target: the question is about something else.
    if not question.target_rles and run.searched:
        return report('Nothing here matches the question.')
    numbers, is_complete = _match(question, shown) if shown is not None else ([], False)
    left = [phrase for phrase in question.phrases if phrase not in run.searched]
    if not is_complete and left:
        return segment(left[0])
    if shown is None or not numbers:
        return report('No mask shows what the question asks for.')
    if not run.is_examined and len(shown) > len(numbers) and _has_small(shown, numbers):
        return examine()
    return select(numbers)


def _match(question: Question, shown: Detections) -> tuple[list[int], bool]:
    """Return the numbers, from 1, of the masks that show a target, and whether each target is shown."""
    numbers, missed = [], 0
    for target in question.targets:
        ious = [mask_iou(target, mask) for mask in shown.masks]
        best = max(range(len(ious)), key=ious.__getitem__, default=None)
        if best is None or ious[best] < MATCH_IOU:
            missed += 1
        else:
            numbers.append(best + 1)
    return sorted(set(numbers)), not missed and bool(numbers)


def _has_small(shown: Detections, numbers: Sequence[int]) -> bool:
    return any(shown.masks[number - 1].mean() < SMALL_SHARE for number in numbers)


def _shown_masks(messages: Sequence[Message]) -> Detections | None:
    """Return the masks of the newest image; None if it shows none."""
    for message in reversed(messages):
        for part in reversed(message.parts):
            if isinstance(part, ImagePart) and part.pixels is not None:
                return part.view.detections if part.view.kind == 'masks' else None
    return None


def _count_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of messages as Qwen3-VL would count them."""
    tokens = 0
    for message in messages:
        tokens += math.ceil(len(message.text) / CHARS_PER_TOKEN)
        for part in message.parts:
            if isinstance(part, ImagePart) and part.pixels is not None:
                tokens += math.prod(math.ceil(side / PIXELS_PER_TOKEN) for side in part.pixels.shape[:2])
    return tokens
