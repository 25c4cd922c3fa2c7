"""Image files of cameras, phones and drawing programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model.errors import FrameError
from instructsam_model.image_io import find_images, read_image


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK'])
def test_all_modes_are_converted_to_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ('image.tif' if mode == 'CMYK' else 'image.png')
    Image.new('RGB', (6, 4), 'white').convert(mode).save(path)
    image_rgb = read_image(path)
    assert image_rgb.dtype == np.uint8
    assert image_rgb.shape == (4, 6, 3)
    assert (image_rgb == 255).all()
    assert image_rgb.flags.writeable


@pytest.mark.parametrize(('orientation', 'corner'), [(1, (0, 0)), (3, (3, 5)), (6, (0, 3)), (8, (5, 0))])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new('RGB', (6, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / 'image.png', exif=exif)
    bright = np.argwhere(read_image(tmp_path / 'image.png')[..., 0] > 0)
    assert bright.tolist() == [list(corner)]


@pytest.mark.parametrize('size', [0, 30, 200])
def test_truncated_file_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / 'image.png'
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FrameError, match=r'image\.png: expected an image, cannot read it'):
        read_image(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r'none\.png: expected an image, found no such file'):
        read_image(tmp_path / 'none.png')


@pytest.mark.parametrize('dtype', [np.uint16, np.int32, np.float32])
def test_images_with_more_than_8_bits_are_refused(tmp_path: Path, dtype: type[np.generic]) -> None:
    Image.fromarray(np.full((4, 6), 1000, dtype)).save(tmp_path / 'depth.tif')
    with pytest.raises(FrameError, match='expected 8 bits per channel, got an image of mode'):
        read_image(tmp_path / 'depth.tif')


def test_images_of_a_folder_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ('b.png', 'a.JPG', 'notes.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'c.png').mkdir()
    assert [path.name for path in find_images(tmp_path)] == ['a.JPG', 'b.png']
