"""Examples and batches: what the slots shall find, on the mask grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_run import GOLDEN

from instructsam_model.masks import encode_rle, mask_iou
from instructsam_model.segmenter import InstructSAMSegmenter
from instructsam_training.batch import ExampleBuilder, collate
from instructsam_training.config import DataConfig
from instructsam_training.sample import Annotation, Sample


def builder(segmenter: InstructSAMSegmenter, mask_targets: str = 'coverage') -> ExampleBuilder:
    data = DataConfig(max_pixels=65536, mask_targets=mask_targets)  # type: ignore[arg-type]
    return ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, data)


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:240, :320]
    return (rows - 120) ** 2 + (columns - 160) ** 2 < 18**2


def sample(*annotations: Annotation) -> Sample:
    return Sample(Path(GOLDEN / 'images' / '000.png'), (240, 320), annotations, source='train.json[0]')


@pytest.mark.parametrize(('mask_targets', 'least', 'most'), [('coverage', 0.97, 1.0), ('nearest', 0.7, 0.9)])
def test_a_network_that_reaches_its_targets_draws_the_object(
    segmenter: InstructSAMSegmenter, mask_targets: str, least: float, most: float
) -> None:
    """Half a cell of the 64 x 64 grid is 2.5 pixels; the public way of resizing moves a disc of 36 by so much."""
    one = sample(Annotation('phrase', 'disc', 'disc', (encode_rle(disc()),)))
    (target,) = builder(segmenter, mask_targets).build(one, '0').targets
    assert target.masks.shape == (1, 64, 64)
    logits = (target.masks.float() - 0.5).unsqueeze(0)
    drawn = F.interpolate(logits, size=(240, 320), mode='bilinear')[0, 0].numpy() > 0
    assert least <= mask_iou(drawn, disc()) <= most


def test_batch_keeps_phrases_with_their_pictures(segmenter: InstructSAMSegmenter) -> None:
    mask = encode_rle(disc())
    examples = [
        builder(segmenter).build(sample(Annotation('phrase', 'disc', 'disc', (mask,))), '0'),
        builder(segmenter).build(
            sample(Annotation('phrase', 'red box', 'red box'), Annotation('OCR', 'A', 'A', (mask,))), '1'
        ),
    ]
    batch = collate(examples, pad_id=segmenter.network.config.tokens.mask_end)
    inputs = batch.inputs
    assert inputs.phrase_owner.tolist() == [0, 1, 1]
    assert len(batch.targets) == 3
    assert inputs.writes is not None
    assert int(inputs.writes.sum()) == int((batch.labels >= 0).sum())
    assert not batch.labels[~inputs.attention_mask].ge(0).any()
    with torch.inference_mode():
        prediction = segmenter.network(inputs)
    assert prediction.mask_logits.shape == (3, 4, 64, 64)
    assert prediction.answer_logits is not None
    assert len(prediction.answer_logits) == int(inputs.writes.sum())


def test_same_seed_same_example(segmenter: InstructSAMSegmenter) -> None:
    one = sample(*(Annotation('phrase', name, name) for name in ('a', 'b', 'c', 'd')))
    first, again, other = (builder(segmenter).build(one, seed).encoding for seed in ('0', '0', '1'))
    assert first == again != other
