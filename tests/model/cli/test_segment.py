"""instructsam-segment: output, files and exit codes.

Covers cli.segment_output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model import (
    CheckpointError,
    Frame,
    FrameError,
    InferenceError,
    Instance,
    Instruction,
    Segmentation,
    Selection,
)
from instructsam_model.cli import segment
from instructsam_model.cli.segment import main
from instructsam_model.masks import decode_mask, mask_iou, tight_box
from tests.support import GOLDEN, ROOT

CHANNELS = ('red', 'green', 'blue')


class ColorSegmenter:
    """Finds pixels of the primary colors that an instruction names, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Frame, str, Selection | None]] = []

    def segment(self, frame: Frame, instruction: Instruction, selection: Selection | None = None) -> Segmentation:
        self.calls.append((frame, instruction.text, selection))
        if min(frame.size_wh) < 4:
            raise FrameError(f'image_rgb: expected at least 4x4, got {frame.size_wh}')
        if instruction.text == 'fail':
            raise InferenceError('the model ran out of memory')
        instances = []
        for channel, name in enumerate(CHANNELS):
            mask = frame.image_rgb[..., channel] > 128
            box_xyxy = tight_box(mask)
            if name in instruction.text and box_xyxy is not None:
                instances.append(Instance(mask, box_xyxy, 0.9 - 0.1 * channel, f'{name} [box]'))
        return Segmentation(
            tuple(instances), instruction, instruction.text, frame.size_wh, timings={'answer': 0.1},
            truncated='crowd' in instruction.text,
        )  # fmt: skip


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> ColorSegmenter:
    """The segmenter that is loaded for every checkpoint except the one called broken."""
    fake = ColorSegmenter()

    def load_segmenter(
        checkpoint: str, backend: str, device: str, dtype: str, *, threads: int, **loading: Any
    ) -> ColorSegmenter:
        if checkpoint == 'broken':
            raise CheckpointError('broken: expected config.json,\nfound none')
        fake.loaded_with = (checkpoint, backend, device, dtype, threads)
        fake.loading = loading
        return fake

    monkeypatch.setattr(segment, 'load_segmenter', load_segmenter)
    return fake


def paint(path: Path, size_wh: tuple[int, int] = (64, 48), color: str = 'red', **save: Any) -> Path:
    """A dark image with a block of color: columns 10 to 29, rows 5 to 19."""
    image = Image.new('RGB', size_wh)
    image.paste(color, (10, 5, 30, 20))
    image.save(path, **save)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return paint(tmp_path / 'scene.png')


def command(*arguments: object) -> int:
    return main([*map(str, arguments), '--checkpoint', 'weights'])


@pytest.mark.usefixtures('segmenter')
def test_image_gives_a_table_and_an_overlay(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = image.parent / 'new' / 'overlay.png'
    assert command(image, 'the red thing', '--out', out) == 0
    printed = capsys.readouterr().out
    for cell in ('the red thing', 'red [box]', '0.90', '10 5 30 20', '300', str(out)):
        assert cell in printed
    with Image.open(out) as overlay, Image.open(image) as original:
        assert overlay.size == original.size
        assert (np.asarray(overlay) != np.asarray(original)).any()


def test_instructions_share_the_frame_and_have_an_overlay_each(image: Path, segmenter: ColorSegmenter) -> None:
    assert command(image, 'red', 'green', '--out', image.parent / 'overlay.png') == 0
    assert sorted(path.name for path in image.parent.iterdir()) == ['overlay-1.png', 'overlay-2.png', 'scene.png']
    frames, texts, _ = zip(*segmenter.calls, strict=True)
    assert texts == ('red', 'green')
    assert frames[0] is frames[1], 'so that the segmenter encodes it once'


@pytest.mark.usefixtures('segmenter')
def test_result_that_may_lack_objects_says_so(image: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / 'results.json'
    assert command(image, 'a crowd of red', 'red', '--json', file) == 0
    assert [result['truncated'] for result in json.loads(file.read_text())['images'][0]['results']] == [True, False]
    output = ' '.join(capsys.readouterr().out.split())
    assert output.count('there may be more than 1') == 1
    assert f'{image.name}: a crowd of red: there may be more' in output


@pytest.mark.usefixtures('segmenter')
def test_nothing_found_is_no_error(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(image, 'the green thing') == 0
    assert 'nothing found' in capsys.readouterr().out
    assert list(image.parent.iterdir()) == [image], 'no overlay without --out'


@pytest.mark.usefixtures('segmenter')
@pytest.mark.parametrize('flag', [['--json'], ['--json', '-']])
def test_json_is_the_only_standard_output(image: Path, capsys: pytest.CaptureFixture[str], flag: list[str]) -> None:
    assert command(image, 'red', 'green', '--out', image.parent / 'overlay.png', *flag) == 0
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert 'red [box]' in captured.err
    assert content['checkpoint'] == 'weights'
    assert content['unreadable'] == []
    [entry] = content['images']
    assert (entry['image'], entry['size_wh']) == (str(image), [64, 48])
    red, green = entry['results']
    assert (red['instruction'], red['text'], red['timings']) == ('red', 'red', {'answer': 0.1})
    assert red['overlay'] == str(image.parent / 'overlay-1.png')
    assert green['instances'] == []
    [instance] = red['instances']
    assert (instance['phrase'], instance['score'], instance['pixels']) == ('red [box]', 0.9, 300)
    assert instance['box_xyxy'] == [10, 5, 30, 20]
    assert decode_mask(instance['mask'], (48, 64))[5:20, 10:30].all()


@pytest.mark.usefixtures('segmenter')
def test_json_is_written_to_a_file(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = image.parent / 'new' / 'results.json'
    assert command(image, 'red', '--json', file) == 0
    assert 'red [box]' in capsys.readouterr().out
    assert len(json.loads(file.read_text())['images']) == 1


@pytest.mark.usefixtures('segmenter')
def test_exif_orientation_is_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the rows as columns, from right to left
    path = paint(tmp_path / 'phone.png', exif=exif)
    assert command(path, 'red', '--json') == 0
    [entry] = json.loads(capsys.readouterr().out)['images']
    assert entry['size_wh'] == [48, 64]
    assert entry['results'][0]['instances'][0]['box_xyxy'] == [48 - 20, 10, 48 - 5, 30]


@pytest.mark.usefixtures('segmenter')
def test_folder_is_processed_despite_unreadable_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    paint(folder / 'a.png')
    (folder / 'b.png').write_bytes(b'not an image')
    (folder / 'c.jpg').write_bytes(paint(folder / 'c.jpg').read_bytes()[:400])
    paint(folder / 'd.JPG', quality=95, format='JPEG')
    paint(folder / 'e.png', size_wh=(2, 2))
    (folder / 'notes.txt').write_text('no image')
    assert command(folder, 'red', '--out', out, '--json') == 1
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert [Path(entry['image']).name for entry in content['images']] == ['a.png', 'd.JPG']
    assert [Path(entry['image']).name for entry in content['unreadable']] == ['b.png', 'c.jpg', 'e.png']
    assert sorted(path.name for path in out.iterdir()) == ['a.png', 'd.png']
    assert f'wrote 2 overlays into {out}' in captured.err
    assert '3 of 5 images could not be segmented' in captured.err
    for name in ('b.png', 'c.jpg'):
        assert f'{folder / name}: expected an image, cannot read it' in captured.err
    assert f'{folder / "e.png"}: ' in captured.err


@pytest.mark.usefixtures('segmenter')
def test_images_of_the_same_name_have_separate_overlays(tmp_path: Path) -> None:
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    for name in ('a.png', 'a.bmp', 'b.png'):
        paint(folder / name)
    assert command(folder, 'red', 'green', '--out', out) == 0
    names = [f'{stem}-{number}.png' for stem in ('a_bmp', 'a_png', 'b') for number in (1, 2)]
    assert sorted(path.name for path in out.iterdir()) == names


def test_options_are_passed_to_the_loader(image: Path, segmenter: ColorSegmenter) -> None:
    options = ['--device', 'cuda:1', '--dtype', 'bfloat16', '--backend', 'instructsam', '--threads', '3']
    loading = ['--instructsam.engine', 'compiled', '--instructsam.max_pixels', 307200]
    assert command(image, 'red', *options, *loading, '--min-score', 0.3, '--max-instances', 5) == 0
    assert segmenter.loaded_with == ('weights', 'instructsam', 'cuda:1', 'bfloat16', 3)
    assert segmenter.loading == {'instructsam.engine': 'compiled', 'instructsam.max_pixels': 307200}
    assert segmenter.calls[0][2] == Selection(min_score=0.3, max_instances=5)


def no_change(folder: Path) -> None:
    pass


def text_file(folder: Path) -> None:
    (folder / 'scene.png').write_text('no image')


def deep_image(folder: Path) -> None:
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(folder / 'scene.png')


def empty_folder(folder: Path) -> None:
    (folder / 'empty').mkdir()


@pytest.mark.parametrize(
    ('prepare', 'arguments', 'message'),
    [
        (no_change, ['missing.png', 'red'], 'missing.png: expected an image or a folder of images, found neither'),
        (text_file, ['scene.png', 'red'], 'scene.png: expected an image, cannot read it'),
        (deep_image, ['scene.png', 'red'], 'expected 8 bits per channel, got an image of mode I;16'),
        (empty_folder, ['empty', 'red'], 'empty: expected images'),
        (no_change, ['scene.png', 'red', ' '], 'instruction: expected text'),
        (no_change, ['scene.png', 'red ' * 2000], 'instruction: expected at most 4096 characters, got 8000'),
        (no_change, ['scene.png', 'red', '--min-score', '2'], 'min_score: expected 0..1, got 2.0'),
        (no_change, ['scene.png', 'red', '--max-instances', '0'], 'max_instances: expected at least 1, got 0'),
        (no_change, ['scene.png', 'red', '--out', 'overlay.gif'], '--out: expected a name that ends in .bmp'),
        (no_change, ['scene.png', 'red', '--out', 'scene.png'], 'scene.png would be overwritten'),
        (no_change, ['scene.png', 'red', '--out', '.'], 'scene.png would be overwritten'),
        (no_change, ['.', 'red', '--out', '../{name}'], 'scene.png would be overwritten'),
        (no_change, ['.', 'red', '--out', 'scene.png'], 'expected a folder for the overlays of a folder'),
        (no_change, ['scene.png', 'red', '--json', 'scene.png'], '--json: expected files other than the images; scene'),
        (no_change, ['scene.png', 'red', '--json', '.'], '--json: expected a file, got the folder .'),
    ],
)
def test_invalid_arguments_are_one_line_before_the_model_is_loaded(
    image: Path,
    segmenter: ColorSegmenter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prepare: Callable[[Path], None],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(image.parent)
    prepare(image.parent)
    before = image.read_bytes()
    assert command(*(argument.replace('{name}', image.parent.name) for argument in arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith('instructsam-segment: error: ')
    assert message in captured.err
    assert captured.err.count('\n') == 1
    assert not hasattr(segmenter, 'loaded_with')
    assert image.read_bytes() == before


@pytest.mark.usefixtures('segmenter')
def test_checkpoint_error_is_one_line(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(image), 'red', '--checkpoint', 'broken', '--json']) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err == 'instructsam-segment: error: broken: expected config.json, found none\n'


@pytest.mark.usefixtures('segmenter')
def test_image_refused_by_the_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(paint(tmp_path / 'tiny.png', size_wh=(2, 2)), 'red') == 2
    assert 'expected at least 4x4, got (2, 2)' in capsys.readouterr().err


@pytest.mark.usefixtures('segmenter')
def test_failure_of_the_model_is_one_line(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(image, 'fail') == 2
    assert capsys.readouterr().err == 'instructsam-segment: error: the model ran out of memory\n'


def test_help_does_not_import_torch() -> None:
    code = (
        'import sys; from instructsam_model.cli.segment import build_parser; '
        'build_parser().format_help(); sys.exit("torch" in sys.modules)'
    )
    path = str(ROOT / 'model')
    assert subprocess.run([sys.executable, '-c', code], env={'PYTHONPATH': path}, check=False).returncode == 0


def test_golden_checkpoint_finds_the_ball(capsys: pytest.CaptureFixture[str]) -> None:
    [query] = [
        annotation
        for entry in json.loads((GOLDEN / 'eval_inst2seg.json').read_text())
        if entry['image'] == 'images/000.png'
        for annotation in entry['annotation']
        if 'red ball' in annotation['text']
    ]
    image, checkpoint = GOLDEN / 'images' / '000.png', GOLDEN / 'checkpoint'
    assert main([str(image), query['text'], '--checkpoint', str(checkpoint), '--device', 'cpu', '--json']) == 0
    [entry] = json.loads(capsys.readouterr().out)['images']
    [instance] = entry['results'][0]['instances']
    assert instance['phrase'] == 'red ball'
    assert mask_iou(decode_mask(instance['mask']), decode_mask(query['mask'][0])) > 0.5
