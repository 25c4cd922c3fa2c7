"""The back end `sam3` and `transformers`' own `Sam3Model` with `Sam3Processor`: the same to the bit.

Covers instructsam_model.sam3.detector, instructsam_model.sam3.features, instructsam_model.sam3.postprocess and
instructsam_model.sam3.prompted_detector.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoTokenizer, Sam3Model, Sam3Processor
from transformers.models.sam3.modeling_sam3 import Sam3ImageSegmentationOutput

from instructsam_model import Frame, Instruction, Selection
from instructsam_model.masks import tight_box
from instructsam_model.runtime.stages import observed
from instructsam_model.sam3.prompted_detector import PROMPT_CACHE_SIZE
from instructsam_model.sam3.segmenter import Sam3Segmenter
from tests.support.tiny_sam3 import load_tiny_sam3, write_tiny_meta, write_tiny_sam3

PHRASES = ('red mug', 'plate', 'a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4', 'Ein Löffel 🥄')
"""The third fills all 32 tokens, so that nothing is padding."""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sam3(tmp_path_factory.mktemp('tiny'))


@pytest.fixture(scope='module')
def segmenter(folder: Path) -> Sam3Segmenter:
    return load_tiny_sam3(folder)


@pytest.fixture(scope='module')
def model(folder: Path) -> Sam3Model:
    # A copy, because the last bits of a product depend on where in memory its factors are aligned: `from_pretrained`
    # leaves tensors where they are in the file.
    return copy.deepcopy(Sam3Model.from_pretrained(folder).eval())


@pytest.fixture(scope='module')
def processor(folder: Path) -> Sam3Processor:
    return Sam3Processor(AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))


@torch.inference_mode()
def run_transformers(
    model: Sam3Model, processor: Sam3Processor, frame: Frame, phrase: str
) -> Sam3ImageSegmentationOutput:
    image = torch.tensor(frame.image_rgb).permute(2, 0, 1)
    inputs = processor(images=image, text=phrase, return_tensors='pt')
    names = ('pixel_values', 'input_ids', 'attention_mask')
    return model(**{name: inputs[name] for name in names})


@pytest.mark.parametrize('phrase', PHRASES)
def test_scores_boxes_and_masks_are_those_of_transformers_to_the_bit(
    segmenter: Sam3Segmenter, model: Sam3Model, processor: Sam3Processor, frames: list[Frame], phrase: str
) -> None:
    expected = run_transformers(model, processor, frames[0], phrase)
    got = segmenter.predict(frames[0], phrase)
    scores = expected.pred_logits.sigmoid() * expected.presence_logits.sigmoid()
    assert torch.equal(got.scores, scores[0])
    assert torch.equal(got.box_xyxy, expected.pred_boxes[0])
    assert torch.equal(got.mask_logits, expected.pred_masks[0])


@pytest.mark.parametrize('mask_threshold', [0.5, 0.3])
@pytest.mark.parametrize('phrase', PHRASES[:2])
def test_instances_are_those_of_the_processor_to_the_bit(
    segmenter: Sam3Segmenter,
    model: Sam3Model,
    processor: Sam3Processor,
    frames: list[Frame],
    phrase: str,
    mask_threshold: float,
) -> None:
    output = run_transformers(model, processor, frames[1], phrase)
    ranked = (output.pred_logits.sigmoid() * output.presence_logits.sigmoid())[0].sort(descending=True)
    min_score = float(ranked.values[5])  # so that five are left
    [expected] = processor.post_process_instance_segmentation(
        output, min_score, mask_threshold, [frames[1].size_wh[::-1]]
    )
    order = expected['scores'].argsort(descending=True)
    selection = Selection(min_score=min_score, mask_threshold=mask_threshold)
    instances = segmenter.segment(frames[1], Instruction(phrase), selection).instances
    assert [each.score for each in instances] == expected['scores'][order].tolist()
    assert len(instances) == 5
    for instance, mask in zip(instances, expected['masks'][order].bool().numpy(), strict=True):
        assert np.array_equal(instance.mask, mask)
        assert np.array_equal(instance.box_xyxy, tight_box(mask))
        assert instance.label == phrase


def test_phrase_longer_than_the_text_encoder_reads_is_cut(segmenter: Sam3Segmenter, frames: list[Frame]) -> None:
    long = ' '.join('abcdefghijklmnopqrstuvwxyz1234567890')
    kept = long[: 2 * 30]  # of 32 tokens, two are the beginning and the end
    assert torch.equal(segmenter.predict(frames[0], long).mask_logits, segmenter.predict(frames[0], kept).mask_logits)


def test_encoding_of_a_phrase_is_kept_until_others_replace_it(segmenter: Sam3Segmenter, frames: list[Frame]) -> None:
    first = segmenter.predict(frames[0], 'blue').scores
    texts: list[str] = []
    with observed(lambda name: nullcontext(texts.append(name) if name == 'text' else None)):
        assert torch.equal(segmenter.predict(frames[0], 'blue').scores, first)
        assert not texts
        for number in range(PROMPT_CACHE_SIZE):
            segmenter.predict(frames[0], f'box {number}')
        assert torch.equal(segmenter.predict(frames[0], 'blue').scores, first)
    assert len(texts) == PROMPT_CACHE_SIZE + 1


def test_geometry_token_is_that_of_the_geometry_encoder_without_boxes(
    segmenter: Sam3Segmenter, frames: list[Frame]
) -> None:
    detector = segmenter.detector.detector
    with torch.inference_mode():
        features = segmenter.detector.encode(frames[0]).features
        boxes = torch.zeros(1, 0, 4)
        expected = detector.model.geometry_encoder(
            boxes, boxes[..., 0].bool(), boxes[..., 0].long(), features.maps, (features.positions,)
        )
        token = detector.geometry_token(features)
    torch.testing.assert_close(token, expected.last_hidden_state, rtol=0, atol=1e-6)


def test_checkpoint_of_either_origin_gives_its_own_default(
    segmenter: Sam3Segmenter, frames: list[Frame], tmp_path: Path
) -> None:
    """Same weights; Meta's origin has the geometry token, and another epsilon of the image encoder's layer norms."""
    checkpoint = write_tiny_meta(tmp_path / 'meta')
    expected = segmenter.predict(frames[0], 'red mug').mask_logits
    meta = load_tiny_sam3(checkpoint)
    assert meta.detector.detector.model.config.vision_config.backbone_config.layer_norm_eps == 1e-5
    assert segmenter.detector.detector.model.config.vision_config.backbone_config.layer_norm_eps == 1e-6
    without = load_tiny_sam3(checkpoint, geometry_cls_token='off').predict(frames[0], 'red mug').mask_logits
    assert 0 < float((without - expected).abs().max()) < 1e-2
    assert float((meta.predict(frames[0], 'red mug').mask_logits - expected).abs().max()) > 0.1
