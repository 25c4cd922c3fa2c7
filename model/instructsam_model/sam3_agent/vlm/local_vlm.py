"""`LocalVlm`: a vision-language model from a folder, through `transformers`, without a server.

Meant for Qwen2.5-VL and Qwen3-VL; any checkpoint works that `AutoModelForImageTextToText` loads and whose processor has
a chat template. A server such as vLLM is faster: it answers several requests at once and keeps the images of a
conversation from round to round.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from instructsam_model.datatypes import never
from instructsam_model.errors import CheckpointError, InferenceError, NonFiniteError, raise_if_canceled
from instructsam_model.runtime.device_session import DeviceSession
from instructsam_model.runtime.finite import ADVICE
from instructsam_model.runtime.threads import Threads
from instructsam_model.sam3_agent.core.actions import Reply
from instructsam_model.sam3_agent.core.limits import Usage
from instructsam_model.sam3_agent.core.messages import CallKind, ImagePart, Message
from instructsam_model.sam3_agent.vlm.vlm import REPLY_TOKENS

logger = logging.getLogger(__name__)


def load_local_vlm(
    folder: Path, device: torch.device, dtype: torch.dtype | None, threads: Threads | None = None
) -> LocalVlm:
    """Load a checkpoint.

    Args:
        folder: with `config.json`, weights, tokenizer and the configuration of the processor.
        device: to compute on.
        dtype: of the weights; None: as stored.
        threads: CPU threads of a reply; None for torch's current number.

    Raises:
        CheckpointError: a file is missing or unusable, tensors are missing, or there is no chat template for images.
    """
    if not (folder / 'config.json').is_file():
        raise CheckpointError(
            f'vlm: expected the folder of a vision-language model such as Qwen3-VL, or the URL of a server, with '
            f'http://; found no {folder / "config.json"}'
        )
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model, report = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, dtype=dtype or 'auto', output_loading_info=True
        )
    # Of unusable files transformers raises OSError, ValueError, KeyError, ImportError and the errors of safetensors.
    except Exception as error:
        raise CheckpointError(
            f'{folder}: expected a vision-language model that transformers loads, cannot load it: {error}'
        ) from error
    if missing := sorted(report['missing_keys']):
        name = type(model).__name__
        raise CheckpointError(
            f'{folder}: expected all weights of {name}, {len(missing)} are missing: {missing[0]}, ...'
        )
    if not getattr(processor, 'chat_template', None) or not hasattr(processor, 'image_processor'):
        raise CheckpointError(f'{folder}: expected a processor with a chat template and images, got {type(processor)}')
    return LocalVlm(model.to(device).eval(), processor, threads)


class LocalVlm:
    """Generates replies on this machine, see `Vlm`; one at a time, other threads wait.

    Replies are greedy: the same messages give the same reply.

    Args:
        model: of `AutoModelForImageTextToText`.
        processor: makes its inputs of messages.
        threads: CPU threads of a reply; None for torch's current number.
    """

    def __init__(self, model: Any, processor: Any, threads: Threads | None = None) -> None:
        self._model = model
        self._processor = processor
        self._turn = threading.Lock()
        weight_bytes = sum(tensor.nbytes for tensor in model.parameters())
        self._session = DeviceSession(model.device, weight_bytes, threads)
        self._context: int = model.config.get_text_config().max_position_embeddings
        # Settings of sampling that come with a checkpoint would be ignored with a warning.
        model.generation_config.update(do_sample=False, temperature=None, top_p=None, top_k=None)

    @torch.inference_mode()
    def chat(
        self,
        messages: Sequence[Message],
        kind: CallKind,
        *,
        max_tokens: int = REPLY_TOKENS,
        timeout_s: float | None = None,
        is_canceled: Callable[[], bool] = never,
    ) -> Reply:
        """Return the reply of the model, see `Vlm.chat`.

        Raises:
            CanceledError: `is_canceled` returned True; within one pass of the model.
            NonFiniteError: logits are not finite.
            InferenceError: the messages leave no room for a reply in the context of the model, the time is over, or the
                model is closed.
        """
        began_s = time.monotonic()
        stop = _Stop(is_canceled, float('inf') if timeout_s is None else began_s + timeout_s)
        with self._turn, self._session.use():
            stop.check()
            inputs = self._inputs(messages)
            length = inputs['input_ids'].shape[1]
            room = min(max_tokens, self._context - length)
            if room < 1:
                raise InferenceError(
                    f'vlm: the messages have {length} tokens, the model reads at most {self._context} with its reply; '
                    'use smaller images or a model with a longer context'
                )
            tokens = self._model.generate(
                **inputs,
                max_new_tokens=room,
                logits_processor=LogitsProcessorList([_Finite()]),
                stopping_criteria=StoppingCriteriaList([stop]),
            )[0, length:]
            stop.check()
            text: str = self._processor.decode(tokens, skip_special_tokens=True)
        is_cut = len(tokens) >= room and int(tokens[-1]) not in self._end_tokens()
        usage = Usage(length, len(tokens))
        return Reply(text, usage, 'length' if is_cut else 'stop', seconds=time.monotonic() - began_s)

    def close(self) -> None:
        """See `Vlm.close`."""
        with self._turn:
            if not self._session.is_closed:
                self._model = self._processor = None
                self._session.close()

    def memory_bytes(self) -> int:
        """Return the size of the weights on a CPU, or what torch has reserved on the GPU."""
        return self._session.memory_bytes()

    def _inputs(self, messages: Sequence[Message]) -> Any:
        conversation = [{'role': message.role, 'content': _content(message)} for message in messages]
        inputs = self._processor.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors='pt'
        )
        return inputs.to(self._model.device)

    def _end_tokens(self) -> list[int]:
        end = self._model.generation_config.eos_token_id
        return end if isinstance(end, list) else [] if end is None else [end]


def _content(message: Message) -> list[dict[str, Any]]:
    """Return the parts of a message as chat templates read them; images without pixels are left out."""
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if not isinstance(part, ImagePart):
            content.append({'type': 'text', 'text': part.text})
        elif part.pixels is not None:
            content.append({'type': 'image', 'image': Image.fromarray(part.pixels)})
    return content


class _Stop(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped for us
    """Ends a reply when the caller cancels or the time is over; asked after each token."""

    def __init__(self, is_canceled: Callable[[], bool], deadline_s: float) -> None:
        self._is_canceled = is_canceled
        self._deadline_s = deadline_s

    def check(self) -> None:
        """Raise CanceledError or InferenceError if the reply is to end."""
        raise_if_canceled(self._is_canceled)
        if time.monotonic() >= self._deadline_s:
            raise InferenceError('vlm: no complete reply of the local model in time')

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Return for each row [1] whether it is done: never; raises instead."""
        self.check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class _Finite(LogitsProcessor):  # type: ignore[misc]
    """Refuses logits that are NaN or infinite, of which greedy search would take some token."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores [1, vocabulary] as they are."""
        if not bool(scores.isfinite().all()):
            raise NonFiniteError(f'vlm: logits are not finite (NaN or infinity), so there is no reply; {ADVICE}')
        return scores
