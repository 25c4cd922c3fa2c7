"""instructsam-demo: its requests, and the page in a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model import (
    ConfigError,
    Frame,
    FrameError,
    Instance,
    Instruction,
    RequestError,
    Segmentation,
    Selection,
)
from instructsam_model.cli.demo import PageBackend, build_page, describe_rows, load_gradio, main
from instructsam_model.masks import decode_mask, mask_iou, tight_box
from tests.support import GOLDEN, ROOT

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

IMAGE = GOLDEN / 'images' / '000.png'
TIMEOUT_S = 600.0


class BusySegmenter:
    """Finds bright pixels, fails on concurrent calls, and records the frames."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.selections: list[Selection | None] = []
        self._busy = threading.Lock()

    def segment(self, frame: Frame, instruction: Instruction, selection: Selection | None = None) -> Segmentation:
        assert self._busy.acquire(blocking=False), 'concurrent calls'
        self.frames.append(frame)
        self.selections.append(selection)
        time.sleep(0.01)
        mask = frame.image_rgb.min(axis=2) > 128
        box_xyxy = tight_box(mask)
        instances = () if box_xyxy is None else (Instance(mask, box_xyxy, 0.876, '<b>bright'),)
        self._busy.release()
        return Segmentation(instances, instruction, 'bright', frame.size_wh)


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A dark image with a white block: columns 10 to 29, rows 5 to 19."""
    image = Image.new('RGB', (64, 48))
    image.paste('white', (10, 5, 30, 20))
    image.save(tmp_path / 'scene.png')
    return str(tmp_path / 'scene.png')


@pytest.fixture
def page(tmp_path: Path) -> tuple[PageBackend, BusySegmenter]:
    segmenter = BusySegmenter()
    return PageBackend(segmenter, 'weights', tmp_path), segmenter


def test_request_returns_overlay_rows_summary_and_file(page: tuple[PageBackend, BusySegmenter], image: str) -> None:
    drawn, rows, summary, file = page[0].segment(image, 'what is bright', 0.3, 0.6, 7.0)
    assert page[1].selections == [Selection(0.3, 0.6, 7)]
    assert drawn.shape == (48, 64, 3)
    assert rows == [('<span style="color: rgb(230, 159, 0)">\u25a0</span>', '<b>bright', 0.88, '10 5 30 20', 300)]
    assert summary.startswith('1 found in ')
    content = json.loads(Path(file).read_text())
    assert content['checkpoint'] == 'weights'
    [entry] = content['images']
    assert (entry['image'], entry['results'][0]['instruction']) == ('scene.png', 'what is bright')
    assert decode_mask(entry['results'][0]['instances'][0]['mask'], (48, 64))[5:20, 10:30].all()


def test_nothing_found(page: tuple[PageBackend, BusySegmenter], tmp_path: Path) -> None:
    Image.new('RGB', (8, 8)).save(tmp_path / 'dark.png')
    _, rows, summary, _ = page[0].segment(str(tmp_path / 'dark.png'), 'what is bright', 0.5, 0.5, 100)
    assert rows == []
    assert summary.startswith('nothing found in ')


def test_same_image_is_the_same_frame(page: tuple[PageBackend, BusySegmenter], image: str, tmp_path: Path) -> None:
    copy = shutil.copy(image, tmp_path / 'copy.png')
    Image.new('RGB', (64, 48), 'white').save(tmp_path / 'other.png')
    for file in (image, str(copy), str(tmp_path / 'other.png')):
        page[0].segment(file, 'bright', 0.5, 0.5, 100)
    first, second, third = page[1].frames
    assert first is second
    assert third is not second


def test_concurrent_requests_are_serialized(page: tuple[PageBackend, BusySegmenter], image: str) -> None:
    threads = [
        threading.Thread(target=page[0].segment, args=(image, 'bright', 0.5, 0.5, 100), daemon=True) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(page[1].frames) == 5


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        ({'image': None}, FrameError, 'image: expected one, got none'),
        ({'image': __file__}, FrameError, 'expected an image, cannot read it'),
        ({'text': ' '}, RequestError, 'instruction: expected text'),
        ({'max_instances': 0}, ConfigError, 'max_instances: expected at least 1'),
    ],
)
def test_invalid_request_is_refused(
    page: tuple[PageBackend, BusySegmenter],
    image: str,
    change: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    question = {'image': image, 'text': 'red', 'min_score': 0.5, 'mask_threshold': 0.5, 'max_instances': 100}
    with pytest.raises(error, match=message):
        page[0].segment(**(question | change))


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ((' ', 0.5, 0.5, 100), 'instruction: expected text'),
        (('red', 0.5, 0.5, 0), 'max_instances: expected at least 1'),
    ],
)
def test_page_shows_why_a_request_is_refused(
    page: tuple[PageBackend, BusySegmenter], image: str, values: tuple[Any, ...], message: str
) -> None:
    gr = pytest.importorskip('gradio', reason="needs pip install 'instructsam_ros[demo]'")
    functions = build_page(page[0], 'title', []).fns.values()
    [segment] = [function.fn for function in functions if function.api_name == 'segment']
    with pytest.raises(gr.Error, match=message):
        segment(image, *values)


def test_rows_are_in_the_order_of_the_instances() -> None:
    mask = np.ones((2, 2), dtype=np.bool_)
    box = np.array([0, 0, 2, 2], dtype=np.float32)
    found = tuple(Instance(mask, box, score, name) for score, name in ((0.9, 'a'), (0.8, 'b')))
    rows = describe_rows(Segmentation(found, Instruction('all'), '', (2, 2)))
    assert [row[1] for row in rows] == ['a', 'b']
    assert rows[0][0] != rows[1][0]


def test_missing_gradio_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ConfigError, match='install it with pip install'):
        load_gradio()
    assert main(['--checkpoint', 'missing']) == 2
    assert capsys.readouterr().err.startswith('instructsam-demo: error: Gradio cannot be imported')


def test_checkpoint_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('gradio', reason="needs pip install 'instructsam_ros[demo]'")
    assert main(['--checkpoint', str(tmp_path), '--device', 'cpu']) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'instructsam-demo: error: {tmp_path}')
    assert error.count('\n') == 1


def test_help_does_not_import_torch() -> None:
    code = (
        'import sys; from instructsam_model.cli.demo import build_parser; '
        'build_parser().format_help(); sys.exit("torch" in sys.modules)'
    )
    environment = {'PYTHONPATH': str(ROOT / 'model')}
    assert subprocess.run([sys.executable, '-c', code], env=environment, check=False).returncode == 0


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve the page with the golden checkpoint."""
    pytest.importorskip('gradio', reason="needs pip install 'instructsam_ros[demo]'")
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    options = ['--checkpoint', str(GOLDEN / 'checkpoint'), '--device', 'cpu', '--port', str(port)]
    options += ['--examples', str(GOLDEN / 'images')]
    root = ROOT
    environment = {**os.environ, 'PYTHONPATH': str(root / 'model'), 'GRADIO_TEMP_DIR': str(tmp_path)}
    with (tmp_path / 'log').open('wb') as log:
        command = [sys.executable, '-m', 'instructsam_model.cli.demo', *options]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: is_served(f'http://127.0.0.1:{port}', server, tmp_path / 'log'), 'the page')
            yield f'http://127.0.0.1:{port}'
        finally:
            server.terminate()
            server.wait()


def is_served(url: str, server: subprocess.Popen[bytes], log: Path) -> bool:
    assert server.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:
            return bool(page.status == 200)
    except OSError:
        return False


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    webdriver = pytest.importorskip('selenium.webdriver', reason='needs pip install selenium')
    chromium = shutil.which('chromium') or shutil.which('google-chrome')
    driver = shutil.which('chromedriver')
    if not chromium or not driver:
        pytest.skip('chromium and chromedriver are not installed (Debian: chromium, chromium-driver)')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = f'--user-data-dir={tmp_path / "profile"}'
    for option in ('--headless', '--no-sandbox', '--disable-gpu', '--window-size=1280,1100', profile):
        options.add_argument(option)
    options.add_experimental_option('prefs', {'download.default_directory': str(tmp_path / 'downloads')})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_page_load_timeout(TIMEOUT_S)
    yield browser
    browser.quit()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not (result := condition()):
        assert time.monotonic() < deadline_s, f'waited {TIMEOUT_S} s for {what}'
        time.sleep(0.1)
    return result


def table(browser: Chrome) -> list[list[str]]:
    """Read the texts of the table row by row, with one script, because the page may redraw it at any time."""
    script = """return [...document.querySelectorAll('[role=row][data-index]')]
        .map(row => [...row.querySelectorAll('[data-testid^=cell]')].map(cell => cell.innerText.trim()));"""
    return list(browser.execute_script(script))


def press(browser: Chrome, text: str) -> None:
    """Wait for the button with this text and click it."""
    script = """const button = [...document.querySelectorAll('button')].find(
            each => each.innerText.includes(arguments[0]));
        button?.click();
        return Boolean(button);"""
    wait_for(lambda: browser.execute_script(script, text), f'the button {text!r}')


def test_page_works_in_a_browser(address: str, browser: Chrome, tmp_path: Path) -> None:
    def find(selector: str) -> Any:
        return wait_for(lambda: browser.find_elements('css selector', selector), selector)[0]

    browser.get(address)
    find('textarea').send_keys("Please segment 'red ball'.")
    press(browser, 'Segment')
    wait_for(lambda: 'image: expected one, got none' in browser.page_source, 'the error message')
    find('button[aria-label*="lose"]').click()
    find('input[type=file]').send_keys(str(IMAGE))
    find('[data-testid=image] img[src$="000.png"]')
    press(browser, 'Segment')
    [row] = wait_for(lambda: [row for row in table(browser) if 'red ball' in row], 'the table')
    mark, _, score, _, pixels = row
    assert mark == '\u25a0'
    assert float(score) > 0.5
    with urllib.request.urlopen(find('img[src$="image.png"]').get_attribute('src'), timeout=TIMEOUT_S) as response:
        overlay = np.asarray(Image.open(response).convert('RGB')).astype(int)
    assert (overlay != np.asarray(Image.open(IMAGE).convert('RGB'))).any(axis=2).sum() > int(pixels)
    browser.save_screenshot(str(Path(os.environ.get('INSTRUCTSAM_SCREENSHOTS', tmp_path), 'gradio.png')))
    press(browser, 'JSON')
    [file] = wait_for(lambda: list((tmp_path / 'downloads').glob('*.json')), 'the download')
    [entry] = json.loads(file.read_text())['images']
    [instance] = entry['results'][0]['instances']
    mask = decode_mask(instance['mask'], (240, 320))
    assert mask.sum() == int(pixels)
    questions = json.loads((GOLDEN / 'eval_inst2seg.json').read_text())[0]['annotation']
    [expected] = [question['mask'][0] for question in questions if 'red ball' in question['text']]
    assert mask_iou(mask, decode_mask(expected)) > 0.5
