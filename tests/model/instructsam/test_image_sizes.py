"""Other input sizes of the two encoders: limits, dependent buffers, and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam3Config

from instructsam_model import ConfigError, Frame, Instruction, load_segmenter
from instructsam_model.instructsam.image_sizes import limit_pixels, sam3_size_step, with_sam3_size
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.weights import embedded

RED_BOX = Instruction("Please segment 'red box'.")
OWN_SIZE, WINDOW = 224, 112
"""Input size and attention window of SAM3 in the golden checkpoint, pixels."""
CPU = torch.device('cpu')


def test_published_sam3_accepts_multiples_of_336() -> None:
    config = Sam3Config()
    assert sam3_size_step(config) == 336
    assert with_sam3_size(config, 672).image_size == 672
    assert config.image_size == 1008  # the argument is not changed


@pytest.mark.parametrize('size', [111, 168, 225])
def test_impossible_size_is_refused_with_the_possible_ones(checkpoint: Path, size: int) -> None:
    allowed = rf'0 for the checkpoint.s size, 224, or a multiple of 112, .* \(112, 224, 336, 448, ...\), got {size}$'
    with pytest.raises(ConfigError, match=f'sam3_size: expected {allowed}'):
        load_segmenter(checkpoint, device='cpu', dtype='float32', sam3_size=size)


def test_own_size_changes_nothing(checkpoint: Path, segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    bound = segmenter.preprocessor.qwen_images.size['longest_edge']
    same = load_segmenter(checkpoint, device='cpu', sam3_size=OWN_SIZE, max_pixels=bound)
    for frame in frames:
        ours, theirs = same.preprocessor.pixels(frame, CPU), segmenter.preprocessor.pixels(frame, CPU)
        assert torch.equal(ours.sam3, theirs.sam3)
        assert torch.equal(ours.qwen, theirs.qwen)
    buffers = dict(same.network.named_buffers())
    assert all(torch.equal(buffers[name], buffer) for name, buffer in segmenter.network.named_buffers())
    assert same.network.mask_grid == segmenter.network.mask_grid


@pytest.mark.parametrize('size', [WINDOW, 3 * WINDOW])
def test_buffers_and_masks_follow_the_size_of_sam3(
    checkpoint: Path, segmenter: InstructSAMSegmenter, frames: list[Frame], size: int
) -> None:
    resized = load_segmenter(checkpoint, device='cpu', dtype='float32', sam3_size=size)
    own = segmenter.network.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in resized.network.state_dict().items())
    assert resized.preprocessor.pixels(frames[0], CPU).sam3.shape == (1, 3, size, size)
    assert segmenter.preprocessor.sam3_images.size.height == OWN_SIZE
    prediction = resized.predict(frames[0], RED_BOX)
    side = segmenter.network.mask_grid[0] * size // OWN_SIZE
    assert prediction.mask_logits.shape[-2:] == resized.network.mask_grid == (side, side)
    backbone = resized.network.model.grounding_model.model.vision_encoder.backbone
    for layer in backbone.layers:
        # Positions span one window; layers with global attention divide it into one step per patch of a side.
        steps = layer.window_size or size // 14
        assert len(layer.position_ids) == steps**2
        assert float(layer.position_ids.max()) == pytest.approx(8 - 8 / steps)
    for instance in resized.segment(frames[0], RED_BOX).instances:
        assert instance.mask.shape == frames[0].image_rgb.shape[:2]


def test_windows_of_a_larger_image_have_the_features_of_a_smaller_one(checkpoint: Path) -> None:
    """Before the first layer with global attention, a window does not depend on the image size."""
    features = []
    image = torch.randn(1, 3, 3 * WINDOW, 3 * WINDOW, generator=torch.Generator().manual_seed(0))
    for size in (WINDOW, 2 * WINDOW, 3 * WINDOW):
        network = load_segmenter(checkpoint, device='cpu', dtype='float32', sam3_size=size).network
        backbone = network.model.grounding_model.model.vision_encoder.backbone
        patches = backbone.embeddings(image[..., :size, :size]).view(1, size // 14, size // 14, -1)
        features.append(backbone.layers[0](backbone.layer_norm(patches))[:, :8, :8])
    assert backbone.layers[0].window_size == 8
    torch.testing.assert_close(features[0], features[1])
    torch.testing.assert_close(features[0], features[2])


@pytest.mark.skipif(not embedded.FOLDER.is_dir(), reason='this installation has no embedded checkpoint')
@pytest.mark.parametrize('options', [{'sam3_size': 180}, {'max_pixels': 19200}])
def test_masks_stay_in_place_at_other_sizes(options: dict[str, int]) -> None:
    """A red ball of a quarter of the image on the simulator's gray; only its position is checked."""
    image = np.full((240, 320, 3), 128, np.uint8)
    rows, columns = np.mgrid[:240, :320]
    image[(rows - 140) ** 2 + (columns - 230) ** 2 < 45**2] = (200, 30, 30)
    frame, question = Frame(image), Instruction('Segment the red ball.')
    boxes = []
    for each in ({}, options):
        segmenter = load_segmenter(device='cpu', **each)
        segmenter.selection = replace(segmenter.selection, min_score=0.0, max_instances=1)
        boxes.append(segmenter.segment(frame, question).instances[0].box_xyxy)
    np.testing.assert_allclose(boxes[0], [185, 95, 275, 185], atol=12)
    np.testing.assert_allclose(boxes[1], boxes[0], atol=16)


def test_max_pixels_limits_the_image_tokens(checkpoint: Path, segmenter: InstructSAMSegmenter) -> None:
    bounded = load_segmenter(checkpoint, device='cpu', max_pixels=16384)
    frame = Frame(np.zeros((480, 640, 3), np.uint8))
    patches = bounded.preprocessor.pixels(frame, CPU).grid_thw.prod()
    assert 0.6 * 16384 < patches * 16**2 <= 16384  # whole cells of two by two patches, so not quite all
    assert segmenter.preprocessor.pixels(frame, CPU).grid_thw.prod() > 3 * patches
    assert bounded.segment(frame, RED_BOX).size_wh == (640, 480)


@pytest.mark.parametrize('max_pixels', [-1, 1, 4095])
def test_max_pixels_below_the_minimum_is_refused(segmenter: InstructSAMSegmenter, max_pixels: int) -> None:
    message = rf'max_pixels: expected 0 for the checkpoint.s limit, or at least 4096, .* got {max_pixels}$'
    with pytest.raises(ConfigError, match=message):
        limit_pixels(segmenter.preprocessor, max_pixels)
