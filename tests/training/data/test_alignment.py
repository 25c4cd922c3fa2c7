"""Image files that are turned or resized, and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model import FrameError
from instructsam_model.image_io import read_header, read_image, read_upright
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import decode_rle, encode_rle
from instructsam_training.config.data_options import DataConfig
from instructsam_training.data.alignment import Alignment, align_masks, has_same_ratio, orient_rle
from instructsam_training.data.batch import ExampleBuilder
from instructsam_training.data.sample import Annotation, Sample

STORED_HW = (40, 60)
TRANSPOSED = (5, 6, 7, 8)
ORIENTATION = 0x0112


def scene(size_hw: tuple[int, int] = STORED_HW) -> np.ndarray:
    """A white rectangle near a corner of a black image; no symmetry hides a wrong orientation."""
    pixels = np.zeros((*size_hw, 3), np.uint8)
    pixels[3:15, 5:35] = 255
    return pixels


def write(folder: Path, orientation: int, suffix: str = '.png', pixels: np.ndarray | None = None) -> Path:
    file = folder / f'{orientation}{suffix}'
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(scene() if pixels is None else pixels).save(file, exif=exif)
    return file


def sample(image: Path, mask: np.ndarray, size_hw: tuple[int, int] | None = None) -> Sample:
    mask = np.ascontiguousarray(mask)
    if size_hw and size_hw != mask.shape:
        mask = np.zeros(size_hw, np.bool_)
        mask[0, 0] = True
    return Sample(image, mask.shape, (Annotation('phrase', 'box', 'box', (encode_rle(mask),)),))


def aligned_mask(one: Sample, options: Alignment) -> np.ndarray:
    aligned = align_masks(one, read_header(one.image), options)
    (rle,) = aligned.annotations[0].masks
    assert tuple(rle['size']) == aligned.size_hw
    return decode_rle(rle)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tif', '.webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_header_and_pixels_agree_in_every_format(tmp_path: Path, orientation: int, suffix: str) -> None:
    file = write(tmp_path, orientation, suffix)
    pixels, header = read_upright(file)
    assert read_header(file) == header
    assert header.stored_hw == STORED_HW
    assert header.displayed_hw == pixels.shape[:2] == ((60, 40) if orientation in TRANSPOSED else STORED_HW)
    # The turned mask is where the turned object is.
    turned = decode_rle(orient_rle(encode_rle(scene()[..., 0] > 0), orientation))
    assert ((pixels[..., 0] > 128) != turned).mean() < 0.02


@pytest.mark.parametrize('orientation', TRANSPOSED)
@pytest.mark.parametrize('annotated', ['stored', 'displayed'])
def test_the_size_of_the_record_tells_which_pixels_are_annotated(
    tmp_path: Path, orientation: int, annotated: str
) -> None:
    file = write(tmp_path, orientation)
    shown = read_image(file)[..., 0] > 0
    mask = shown if annotated == 'displayed' else scene()[..., 0] > 0
    assert np.array_equal(aligned_mask(sample(file, mask), Alignment()), shown)


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_a_size_that_does_not_tell_is_an_error_until_a_setting_does(tmp_path: Path, orientation: int) -> None:
    file = write(tmp_path, orientation)
    shown, stored = read_image(file)[..., 0] > 0, scene()[..., 0] > 0
    with pytest.raises(FrameError, match=rf'{file.name}: its EXIF orientation is {orientation}.*mask_orientation'):
        aligned_mask(sample(file, shown), Alignment())
    assert np.array_equal(aligned_mask(sample(file, shown), Alignment('displayed')), shown)
    assert np.array_equal(aligned_mask(sample(file, stored), Alignment('stored')), shown)


def test_square_images_are_refused_by_name_unless_nothing_depends_on_it(tmp_path: Path) -> None:
    file = write(tmp_path, 6, pixels=scene((40, 40)))
    one = sample(file, scene((40, 40))[..., 0] > 0)
    with pytest.raises(FrameError, match='displayed or as they are stored'):
        align_masks(one, read_header(file), Alignment())
    caption = Sample(file, (40, 40), (Annotation('caption', 'What?', 'a box'),))
    assert align_masks(caption, read_header(file), Alignment()) == caption


@pytest.mark.parametrize(
    ('size_hw', 'hint'),
    [((20, 30), 'allow_resized: true'), ((81, 121), 'allow_resized: true'), ((40, 64), 'another aspect ratio')],
    ids=['half', 'rounded', 'cropped'],
)
def test_another_size_is_an_error_that_names_the_file(tmp_path: Path, size_hw: tuple[int, int], hint: str) -> None:
    one = sample(write(tmp_path, 1), np.ones(size_hw, np.bool_))
    expected = f'1.png: expected an image of {size_hw[0]}x{size_hw[1]} .height x width.*got 40x60.*{hint}'
    with pytest.raises(FrameError, match=expected):
        align_masks(one, read_header(one.image), Alignment())


def test_wrong_setting_is_named(tmp_path: Path) -> None:
    one = sample(write(tmp_path, 6), scene()[..., 0] > 0)
    with pytest.raises(FrameError, match=r'60x40 as displayed and 40x60 as stored .*mask_orientation is displayed'):
        align_masks(one, read_header(one.image), Alignment('displayed'))


@pytest.mark.parametrize('orientation', [1, 8])
def test_resized_copies_are_accepted_on_request(tmp_path: Path, orientation: int) -> None:
    large = np.kron(scene(), np.ones((3, 3, 1), np.uint8))
    one = sample(write(tmp_path, orientation), large[..., 0] > 0)
    mask = aligned_mask(one, Alignment(allow_resized=True))
    shown = read_image(one.image)[..., 0] > 0
    assert np.array_equal(mask[1::3, 1::3], shown)


@pytest.mark.parametrize(
    ('size_hw', 'other_hw', 'same'),
    [
        ((3000, 4000), (750, 1000), True),
        ((3001, 4000), (75, 100), True),
        ((427, 640), (213, 320), True),
        ((427, 640), (427, 638), False),
        ((480, 640), (640, 480), False),
        ((500, 500), (640, 640), True),
    ],
)
def test_ratios_are_equal_up_to_a_pixel(size_hw: tuple[int, int], other_hw: tuple[int, int], *, same: bool) -> None:
    assert has_same_ratio(size_hw, other_hw) == has_same_ratio(other_hw, size_hw) == same


def test_targets_of_a_turned_image_are_those_of_the_upright_one(
    segmenter: InstructSAMSegmenter, tmp_path: Path
) -> None:
    """The masks of the network's targets lie on the bright pixels of the network's input."""
    builder = ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, DataConfig(max_pixels=65536))
    one = sample(write(tmp_path, 6), scene()[..., 0] > 0)
    example = builder.build(one, '0')
    (target,) = example.targets[0].masks.float()
    seen = example.pixels.sam3[0, 0].float() / 255
    step = seen.shape[0] / target.shape[0]
    centers = [int((cell + 0.5) * step) for cell in range(target.shape[0])]
    assert float((seen[centers][:, centers] - target).abs().mean()) < 0.05
    with pytest.raises(FrameError, match='expected an image of 80x120'):
        builder.build(sample(one.image, np.ones((80, 120), np.bool_)), '0')
