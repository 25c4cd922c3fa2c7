"""The processor: images and instructions to tensors, answers to instances.

Covers instructsam.answer.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from instructsam_model import (
    CheckpointError,
    ConfigError,
    Frame,
    FrameError,
    Instruction,
    InstructSAM,
    InstructSAMProcessor,
    RequestError,
    Segmentation,
)
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from tests.support import GOLDEN, ROOT

TEXTS = ["Please segment 'red box'.", "Please segment 'blue ball'."]


@pytest.fixture(scope='module')
def processor(checkpoint: Path) -> InstructSAMProcessor:
    return InstructSAMProcessor.from_pretrained(checkpoint)


@pytest.fixture(scope='module')
def image() -> Path:
    return sorted((GOLDEN / 'images').iterdir())[0]


def same(ours: Segmentation, theirs: Segmentation) -> bool:
    pairs = list(zip(ours.instances, theirs.instances, strict=True))
    return ours.raw_text == theirs.raw_text and all(
        first.label == second.label
        and abs(first.score - second.score) < 1e-4
        and (first.mask != second.mask).mean() < 1e-3
        for first, second in pairs
    )


def test_result_is_that_of_the_segmenter(
    segmenter: InstructSAMSegmenter, processor: InstructSAMProcessor, image: Path
) -> None:
    inputs = processor(images=image, text=TEXTS).to('cpu')
    assert inputs['input_ids'].shape == inputs['attention_mask'].shape
    found = processor.post_process(segmenter.network.generate(**inputs), threshold=0.0)
    frame = Frame(np.array(Image.open(image).convert('RGB')))
    for text, ours in zip(TEXTS, found, strict=True):
        theirs = segmenter.segment(frame, Instruction(text), segmenter.selection.__class__(min_score=0.0))
        assert ours.instances
        assert ours.text
        assert same(ours, theirs)


def test_samples_of_a_batch_do_not_depend_on_each_other(
    segmenter: InstructSAMSegmenter, processor: InstructSAMProcessor, image: Path
) -> None:
    small = Image.open(image).resize((150, 90))
    network: InstructSAM = segmenter.network
    both = processor(images=[str(image), small], text=[TEXTS[0], 'what is round and blue?'])
    together = processor.post_process(network.generate(**both), threshold=0.0)
    alone = processor.post_process(network.generate(**processor(small, 'what is round and blue?')), threshold=0.0)
    assert together[1].size_wh == (150, 90)
    assert same(together[1], alone[0])


@pytest.mark.parametrize('kind', ['file', 'Pillow', 'array'])
def test_kinds_of_images_give_the_same_pixels(processor: InstructSAMProcessor, image: Path, kind: str) -> None:
    opened = Image.open(image).convert('RGB')
    given: Any = {'file': str(image), 'Pillow': opened, 'array': np.array(opened)}[kind]
    assert torch.equal(processor(given, 'a')['pixel_values'], processor(image, 'a')['pixel_values'])


@pytest.mark.parametrize(
    ('images', 'text', 'error', 'message'),
    [
        ([], 'a', ConfigError, 'expected as many images as instructions, or one of either, got 0 and 1'),
        ([np.zeros((30, 30, 3), np.uint8)] * 2, ['a'] * 3, ConfigError, 'got 2 and 3'),
        (np.zeros((30, 30, 3)), 'a', FrameError, r'expected uint8 \(H, W, 3\)'),
        ('none.png', 'a', FrameError, 'found no such file'),
        (7, 'a', FrameError, 'expected files, Pillow images or uint8 arrays'),
        (np.zeros((30, 30, 3), np.uint8), ' ', RequestError, 'empty'),
    ],
)
def test_wrong_inputs_are_named(
    processor: InstructSAMProcessor, images: Any, text: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        processor(images, text)


def test_wrong_numbers_are_named(segmenter: InstructSAMSegmenter, processor: InstructSAMProcessor, image: Path) -> None:
    with pytest.raises(ConfigError, match=r'min_score: expected 0\.\.1, got 2'):
        processor.post_process([], threshold=2)
    with pytest.raises(ConfigError, match='max_new_tokens: expected at least 1, got 0'):
        segmenter.network.generate(**processor(image, 'a'), max_new_tokens=0)


def test_saved_processor_needs_no_network(processor: InstructSAMProcessor, image: Path, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    again = InstructSAMProcessor.from_pretrained(tmp_path)
    before, after = processor(image, TEXTS[0]), again(image, TEXTS[0])
    assert before['input_ids'].tolist() == after['input_ids'].tolist()
    assert torch.equal(before['sam3_pixel_values'], after['sam3_pixel_values'])
    content = json.loads((tmp_path / 'tokenizer.json').read_text())
    (tmp_path / 'tokenizer.json').write_text(json.dumps({**content, 'added_tokens': []}))
    with pytest.raises(CheckpointError, match=r'expected the processor of an InstructSAM checkpoint'):
        InstructSAMProcessor.from_pretrained(tmp_path)


def test_example_of_the_readme_runs(
    checkpoint: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = re.findall(r'```python\n(.*?)```', (ROOT / 'model' / 'README.md').read_text(), re.DOTALL)
    shutil.copy(image, tmp_path / 'image.png')
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code.replace('CircleRadon/InstructSAM-2B', str(checkpoint)), names)
    assert names['segmentation'].text
