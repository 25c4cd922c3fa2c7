"""Image files of cameras, phones and drawing programs."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from instructsam_model import image_io
from instructsam_model.errors import FrameError
from instructsam_model.image_io import PILLOW, find_images, read_header, read_image


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said once per process may be said again in each test."""
    monkeypatch.setattr(image_io, '_SAID', set())


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


FORMATS = {
    'a.avif': 'AVIF', 'b.bmp': 'BMP', 'c.gif': 'GIF', 'd.jfif': 'JPEG', 'e.jp2': 'JPEG2000', 'f.jpe': 'JPEG',
    'g.pgm': 'PPM', 'h.pnm': 'PPM', 'i.qoi': 'QOI', 'j.tga': 'TGA', 'k.tiff': 'TIFF', 'l.webp': 'WEBP',
}  # fmt: skip


def test_every_image_of_a_folder_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, kind in FORMATS.items():
        Image.new('L' if name.endswith('.pgm') else 'RGB', (8, 4), 255).save(tmp_path / name, kind)
    (tmp_path / 'labels.json').touch()
    images = find_images(tmp_path)
    assert [path.name for path in images] == [*FORMATS]
    for image in images:
        assert read_image(image).shape == (4, 8, 3)
    assert 'ignored 1 files that are no images by their names: .json' in caplog.text


def test_photos_of_phones_are_found_and_named_if_they_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / 'IMG_1.HEIC').write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic')
    [photo] = find_images(tmp_path)
    with pytest.raises(FrameError, match=r'IMG_1\.HEIC: expected an image, cannot read it'):
        read_image(photo)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
def test_transparent_pixels_are_white_and_said_once(
    tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.new('RGBA', (4, 2), (10, 10, 10, 0))
    image.putpixel((1, 0), (10, 10, 10, 255))
    if mode == 'P':  # transparency of a palette, as in GIF and in small PNG files
        palette = Image.new('P', (4, 2), 0)
        palette.putpalette([10, 10, 10, 10, 10, 10])
        palette.putpixel((1, 0), 1)
        palette.save(tmp_path / 'logo.png', transparency=0)
    else:
        image.convert(mode).save(tmp_path / 'logo.png')
    for _ in range(2):
        image_rgb = read_image(tmp_path / 'logo.png')
        assert image_rgb[0, 1].tolist() == [10, 10, 10]
        assert image_rgb[0, 0].tolist() == [255, 255, 255]
    assert caplog.text.count('logo.png: has transparent pixels, which are shown on white') == 1


def test_first_frame_of_several_is_read_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new('RGB', (4, 2), color) for color in ('white', 'black')]
    frames[0].save(tmp_path / 'moving.gif', save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / 'moving.gif') == 255).all()
    assert 'moving.gif: has several frames or pages; only the first is used' in caplog.text


@pytest.mark.filterwarnings('error')
def test_warnings_of_pillow_are_messages_with_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new('RGB', (10, 15)).save(tmp_path / 'map.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    read_image(tmp_path / 'map.png')
    assert 'map.png: has more than 100 pixels; reading it takes much time and memory' in caplog.text
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 50)
    with pytest.raises(FrameError, match=r'map\.png: expected at most 100 pixels, got more'):
        read_image(tmp_path / 'map.png')


def test_any_error_of_a_decoder_names_the_file(tmp_path: Path) -> None:
    # The decoder of QOI raises IndexError here.
    (tmp_path / 'cut.qoi').write_bytes(b'qoif\0\0\0\x04\0\0\0\x04\x03\0')
    with pytest.raises(FrameError, match=r'cut\.qoi: expected an image, cannot read it'):
        read_image(tmp_path / 'cut.qoi')


def test_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    Image.new('RGB', (4, 2)).save(tmp_path / 'caf\udce9.png')
    with pytest.raises(FrameError, match=r"expected names in UTF-8, got b'caf\\xe9\.png'; rename it"):
        find_images(tmp_path)


def test_threads_read_at_the_same_time_and_warnings_are_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(2, timeout=10)

    def wait_and_warn(image: Image.Image) -> Image.Exif:
        together.wait()  # breaks if the other thread has to wait for this one
        warnings.warn_explicit(
            f'odd file {Path(image.filename).name}', UserWarning, f'{PILLOW}/Image.py', 1, 'PIL.Image'
        )
        return Image.Exif()

    files = [tmp_path / 'one.png', tmp_path / 'two.png']
    for file in files:
        Image.new('RGB', (4, 4)).save(file)
    shown, filters = warnings.showwarning, [*warnings.filters]
    monkeypatch.setattr(PngImageFile, 'getexif', wait_and_warn)
    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(lambda file: read_header(file).stored_hw, files)] == [(4, 4), (4, 4)]
    for file in files:
        assert f'{file}: odd file {file.name}' in caplog.text
    assert warnings.showwarning is shown
    assert [*warnings.filters] == filters
