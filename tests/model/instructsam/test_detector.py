"""SAM3's detector as InstructSAM uses it: what is missing, and that the rest computes what the adapter does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Sam3Config

from instructsam_model.instructsam.config import read_sam3_config
from instructsam_model.instructsam.detector import PointwiseConv, QueryDetector, no_detections
from instructsam_model.sam3.detector import Sam3Detector
from instructsam_model.sam3.features import Prompt


@pytest.fixture(scope='module')
def config(checkpoint: Path) -> Sam3Config:
    return read_sam3_config(checkpoint / 'sam3' / 'config.json')


def test_text_encoder_and_presence_are_missing_and_all_other_names_stay(config: Sam3Config) -> None:
    names, complete = QueryDetector(config).state_dict().keys(), Sam3Detector(config).state_dict().keys()
    missing = complete - names
    assert names <= complete
    assert {name.partition('.')[2].split('.')[0] for name in missing} == {'text_encoder', 'detr_decoder'}
    assert all('text_encoder.' in name or '.presence_' in name for name in missing)


def test_pointwise_convolution_is_the_convolution() -> None:
    convolution, maps = torch.nn.Conv2d(6, 4, 1), torch.randn(2, 6, 5, 3)
    torch.testing.assert_close(PointwiseConv(convolution)(maps), convolution(maps))


@torch.inference_mode()
def test_queries_are_detected_as_by_the_adapter(config: Sam3Config) -> None:
    adapter, detector = Sam3Detector(config).eval(), QueryDetector(config).eval()
    detector.load_state_dict(adapter.state_dict(), strict=False)
    vision = adapter.encode(torch.randn(1, 3, 224, 224))
    phrases, mask = torch.randn(1, 5, 32), torch.tensor([[True, True, True, False, False]])
    queries = torch.randn(1, 8, 32)
    expected = adapter.detect(vision, Prompt(phrases, mask), queries, has_presence=False)
    got = detector(vision, queries, phrases, mask)
    assert got.presence_logits is None
    torch.testing.assert_close(vars(got), vars(expected))
    with_presence = adapter.detect(vision, Prompt(phrases, mask), queries, has_presence=True)
    assert with_presence.presence_logits is not None
    assert with_presence.presence_logits.shape == (1, 1)
    assert not torch.allclose(with_presence.score_logits, expected.score_logits), 'queries attend to the presence token'


def test_no_detections_have_the_shapes_of_detections() -> None:
    nothing = no_detections(torch.zeros(0, 10, 32), torch.zeros(0, 256, 32), (64, 64))
    assert nothing.mask_logits.shape == (0, 10, 64, 64)
    assert nothing.refined_xyxy.shape == (1, 0, 10, 4)
