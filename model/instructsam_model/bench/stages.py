"""What each part of an answer takes, seen from outside: hooks on the modules, and a clock that knows of the GPU."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from instructsam_model.segmenter import InstructSAMSegmenter

STAGES = ('preprocess', 'sam3 vision', 'qwen vision', 'prefill', 'text', 'sam3 decode', 'postprocess', 'rest')


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that what was asked of it is done."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


@contextmanager
def watched(segmenter: InstructSAMSegmenter) -> Iterator[dict[str, float]]:
    """Measure the stages of what is answered in the context; it is slower, for a GPU waits after each.

    Yields:
        Seconds by stage, added up. `prefill` is the pass that reads the picture, with what is known of the text by
        then: the instruction and a draft of the answer. `text` is all passes behind it, or about a known picture.
    """
    seconds: dict[str, float] = defaultdict(float)
    device = segmenter.network.device
    model = segmenter.network.model

    def text_stage(options: dict[str, Any]) -> str:
        return 'prefill' if options.get('visual_pos_masks') is not None else 'text'

    modules: list[tuple[nn.Module, Callable[[dict[str, Any]], str]]] = [
        (model.grounding_model.model.vision_encoder, lambda _: 'sam3 vision'),
        (model.visual, lambda _: 'qwen vision'),
        (model.language_model, text_stage),
        (segmenter.network.lm_head, lambda _: 'text'),
        (model.grounding_model, lambda _: 'sam3 decode'),
    ]
    started: dict[nn.Module, float] = {}

    def begin(module: nn.Module, *_: Any) -> None:
        synchronise(device)
        started[module] = time.perf_counter()

    handles = []
    for module, name in modules:

        def end(module: nn.Module, _: Any, options: dict[str, Any], __: Any, name: Callable[..., str] = name) -> None:
            synchronise(device)
            seconds[name(options)] += time.perf_counter() - started[module]

        handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end, with_kwargs=True)]
    pixels = segmenter.preprocessor.pixels

    def timed_pixels(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = pixels(*arguments)
        synchronise(device)
        seconds['preprocess'] += time.perf_counter() - start
        return result

    segmenter.preprocessor.pixels = timed_pixels  # type: ignore[method-assign, assignment]
    try:
        yield seconds
    finally:
        del segmenter.preprocessor.pixels  # the class's own again
        for handle in handles:
            handle.remove()
