"""Generation of answers: stop conditions, phrases, drafts, and reuse of a frame for several instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from instructsam_model import ConfigError, Frame, Instruction, load_segmenter
from instructsam_model.instructsam.answer_cache import CacheKey
from instructsam_model.instructsam.inference_mode import get_inference_mode
from instructsam_model.instructsam.prompt_lookup import PromptLookup
from instructsam_model.instructsam.random_weights import ScriptedEngine
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import mask_iou

RED_BOX = "Please segment 'red box'."


Script = Callable[[Sequence[int]], None]


@pytest.fixture
def answer_with(segmenter: InstructSAMSegmenter) -> Iterator[Script]:
    """Make the model generate given tokens."""
    engine = segmenter.engine

    def script(ids: Sequence[int]) -> None:
        segmenter.engine = ScriptedEngine(engine, ids)

    yield script
    segmenter.engine = engine


def test_each_phrase_has_its_own_slots(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    prediction = segmenter.predict(frames[4], Instruction("Please segment 'green ball and red box'."))
    assert prediction.phrases == ('green ball', 'red box')
    assert prediction.mask_logits.shape[:2] == prediction.scores.shape == (2, segmenter.network.config.num_queries)


def test_answer_without_a_phrase_has_no_instances(
    segmenter: InstructSAMSegmenter, frames: list[Frame], answer_with: Script
) -> None:
    answer_with([*segmenter.preprocessor.text('red'), 431])
    prediction = segmenter.predict(frames[0], Instruction(RED_BOX))
    assert prediction.phrases == ()
    assert prediction.mask_logits.shape == (0, 4, 64, 64)
    assert prediction.answer.endswith('red<|im_end|>')
    assert segmenter.segment(frames[0], Instruction(RED_BOX)).instances == ()


def test_empty_phrase_is_dropped(segmenter: InstructSAMSegmenter, frames: list[Frame], answer_with: Script) -> None:
    tokens = segmenter.network.config.tokens
    ball = segmenter.preprocessor.text('ball')
    answer_with([tokens.ref_start, tokens.ref_end, tokens.ref_start, *ball, tokens.ref_end, 431])
    prediction = segmenter.predict(frames[0], Instruction(RED_BOX))
    assert prediction.phrases == ('ball',)
    assert prediction.mask_logits.isfinite().all()


def test_answer_is_limited_to_max_new_tokens(
    segmenter: InstructSAMSegmenter, frames: list[Frame], answer_with: Script
) -> None:
    answer_with(segmenter.preprocessor.text('box'))
    assert segmenter.predict(frames[0], Instruction(RED_BOX)).answer.count('box') == segmenter.max_new_tokens // len(
        segmenter.preprocessor.text('box')
    )


def test_long_phrase_conditions_on_its_first_tokens(
    segmenter: InstructSAMSegmenter, frames: list[Frame], answer_with: Script
) -> None:
    tokens = segmenter.network.config.tokens
    answer_with([tokens.ref_start, *segmenter.preprocessor.text('red ') * 40, tokens.ref_end, 431])
    prediction = segmenter.predict(frames[0], Instruction(RED_BOX))
    assert prediction.phrase_embeds.shape[1] == 32
    assert prediction.mask_logits.isfinite().all()


def test_instructions_on_one_frame_share_its_encoding(
    segmenter: InstructSAMSegmenter, frames: list[Frame], golden: dict[str, Any]
) -> None:
    """The vision encoders run once for all instructions, and no result depends on earlier ones."""
    calls: list[str] = []
    hooks = [
        segmenter.network.model.visual.register_forward_hook(lambda *_: calls.append('qwen')),
        segmenter.network.model.grounding_model.model.vision_encoder.backbone.register_forward_hook(
            lambda *_: calls.append('sam3')
        ),
    ]
    texts = [entry['instruction'] for entry in golden['generate']]
    frame = Frame(frames[1].image_rgb)
    try:
        shared = [segmenter.predict(frame, Instruction(text)) for text in texts]
    finally:
        for hook in hooks:
            hook.remove()
    assert sorted(calls) == ['qwen', 'sam3']
    for text, prediction in zip(texts, shared, strict=True):
        alone = segmenter.predict(Frame(frames[1].image_rgb), Instruction(text))
        assert alone.answer == prediction.answer
        assert torch.equal(alone.mask_logits, prediction.mask_logits)


@pytest.fixture
def passes(segmenter: InstructSAMSegmenter) -> Iterator[list[int]]:
    """Passes of the language model, one entry each."""
    count: list[int] = []
    handle = segmenter.network.model.language_model.register_forward_hook(lambda *_: count.append(1))
    yield count
    handle.remove()


@pytest.mark.parametrize(
    ('phrase', 'expected'),
    [
        ('red box left of the box', 1),  # predicted completely
        ('red box', 2),  # the phrase is shorter; the end of the answer is proposed after it
        ('green box left of the box', 4),  # predicted in part: the words after "box" are copied
    ],
)
def test_words_of_the_instruction_are_used_as_drafts(
    segmenter: InstructSAMSegmenter,
    frames: list[Frame],
    answer_with: Script,
    passes: list[int],
    phrase: str,
    expected: int,
) -> None:
    tokens, words = segmenter.network.config.tokens, segmenter.preprocessor.text(phrase)
    answer_with([tokens.ref_start, *words, tokens.ref_end, 431])
    prediction = segmenter.predict(frames[0], Instruction('Please segment the red box left of the box.'))
    assert prediction.phrases == (phrase,)
    assert prediction.answer.endswith(f'{phrase}<|object_ref_end|><|mask_start|>[SEG]<|mask_end|><|im_end|>')
    assert len(passes) == expected


@pytest.mark.parametrize('mode', ['trained', 'released'])
def test_prompt_lookup_saves_passes_without_changing_results(
    checkpoint: Path, frames: list[Frame], golden: dict[str, Any], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = load_segmenter(
        checkpoint, device='cpu', dtype='float32', inference_mode=mode, speculative_decoding=False
    )
    count: list[int] = []
    segmenter.network.model.language_model.register_forward_hook(lambda *_: count.append(1))
    saved = 0
    for entry in golden['generate']:
        for frame in frames[:4]:
            count.clear()
            drafted, passes = segmenter.predict(frame, Instruction(entry['instruction'])), len(count)
            with monkeypatch.context() as patch:
                patch.setattr(PromptLookup, 'propose', lambda *_: ())
                plain = segmenter.predict(frame, Instruction(entry['instruction']))
            assert (drafted.answer, drafted.phrases) == (plain.answer, plain.phrases)
            torch.testing.assert_close(drafted.mask_logits, plain.mask_logits, rtol=1e-4, atol=1e-3)
            torch.testing.assert_close(drafted.score_logits, plain.score_logits, rtol=1e-4, atol=1e-3)
            assert passes <= len(count) - passes
            saved += len(count) - 2 * passes
    assert saved > 0


@pytest.mark.parametrize('mode', ['trained', 'released'])
def test_drafts_save_passes_without_changing_results(
    checkpoint: Path, frames: list[Frame], golden: dict[str, Any], mode: str
) -> None:
    """The drafts are answers about another image: some are accepted completely, some in part."""
    fresh = load_segmenter(checkpoint, device='cpu', dtype='float32', inference_mode=mode, speculative_decoding=False)
    reusing = load_segmenter(checkpoint, device='cpu', dtype='float32', inference_mode=mode, speculative_decoding=True)
    passes: list[int] = []
    reusing.network.model.language_model.register_forward_hook(lambda *_: passes.append(1))
    accepted = rejected = 0
    for entry in golden['generate']:
        instruction = Instruction(entry['instruction'])
        for frame in frames[:4]:
            passes.clear()
            draft = reusing.answer_cache.draft(CacheKey.of(frame, instruction))
            ours, theirs = reusing.predict(frame, instruction), fresh.predict(frame, instruction)
            assert (ours.answer, ours.phrases) == (theirs.answer, theirs.phrases)
            torch.testing.assert_close(ours.mask_logits, theirs.mask_logits, rtol=1e-4, atol=1e-3)
            torch.testing.assert_close(ours.score_logits, theirs.score_logits, rtol=1e-4, atol=1e-3)
            if not draft:
                continue
            if draft == reusing.answer_cache.draft(CacheKey.of(frame, instruction)):
                assert len(passes) == 1  # image, instruction and answer together
                accepted += 1
            else:
                rejected += 1
    assert accepted
    assert rejected


def test_language_model_does_not_run_while_the_scene_is_unchanged(
    checkpoint: Path, frames: list[Frame], golden: dict[str, Any]
) -> None:
    segmenter = load_segmenter(checkpoint, device='cpu', dtype='float32', max_cached_frames=2)
    passes: list[int] = []
    segmenter.network.model.language_model.register_forward_hook(lambda *_: passes.append(1))
    instruction = Instruction(golden['generate'][0]['instruction'])
    noise = np.random.default_rng(0).integers(-4, 5, (5, *frames[0].image_rgb.shape))
    noisy = [Frame((frames[0].image_rgb + each).clip(0, 255).astype(np.uint8)) for each in noise]
    has_run = []
    for frame in [*noisy, frames[1]]:
        passes.clear()
        segmenter.segment(frame, instruction)
        has_run.append(bool(passes))
    assert has_run == [True, False, False, True, False, True]
    first, reused = (segmenter.predict(frame, instruction) for frame in noisy[:2])
    assert reused.phrases == first.phrases
    exact = load_segmenter(checkpoint, device='cpu', dtype='float32').predict(noisy[1], instruction)
    assert mask_iou(reused.mask_logits[0, 0].numpy() > 0, exact.mask_logits[0, 0].numpy() > 0) > 0.9


def test_unknown_inference_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of trained, released, got 'fast'"):
        get_inference_mode('fast')
