"""The HTML page of a report. Covers gallery, plots and files."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from instructsam_model.masks import Rle
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.page import write_page
from instructsam_training.evaluation.report.report import EvaluationSettings, make_report
from tests.support import ROOT

MakeQuery, MakePrediction, MakeMask = Callable[..., Query], Callable[..., PredictedMasks], Callable[[int, int], Rle]
SPEED = {'queries': 3, 'seconds': {'p50': 0.1, 'p95': 0.2}, 'peak_memory_gib': 1.5}
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
WATCH = """<script>
const errors = [];
addEventListener('error', event => errors.push(event.message));
</script>"""
CHECK = """<script>
{
  const rows = () => [...document.querySelectorAll('#examples tbody tr')];
  const column = number => rows().filter(row => !row.hidden).map(row => row.cells[number].textContent);
  const button = name => [...document.querySelectorAll('#examples button')].find(each => each.textContent === name);
  const result = {};
  button('IoU, %').click();
  result.up = column(8);
  button('IoU, %').click();
  result.down = column(8);
  button('group').click();
  result.groups = column(3);
  const filter = document.getElementById('filter');
  filter.value = 'SIZE best';
  filter.dispatchEvent(new Event('input'));
  result.filtered = column(1);
  result.count = document.getElementById('count').value;
  result.errors = errors;
  const output = document.createElement('pre');
  output.id = 'check';
  output.textContent = JSON.stringify(result);
  document.body.append(output);
}
</script>"""


@pytest.fixture
def page(
    query: MakeQuery, prediction: MakePrediction, pixels: MakeMask, paint: Callable[..., Path], tmp_path: Path
) -> str:
    """The page of three queries: one with IoU 0.5, one with IoU 1, one whose image is missing."""
    image = paint('a.png')
    kinds = {'half': 'size', 'right': 'color', 'gone': 'size'}
    queries = [query(name, pixels(0, 10), image=image, group=kind) for name, kind in kinds.items()]
    queries[0] = replace(queries[0], text='one & <b>two</b> $three')
    queries[2] = replace(queries[2], image=tmp_path / 'gone.png')
    found = {'half': pixels(0, 5), 'right': pixels(0, 10), 'gone': pixels(50, 10)}
    predictions = {name: replace(prediction(name, (mask, 0.9)), text='red mug') for name, mask in found.items()}
    return written(tmp_path / 'report.html', queries, predictions)


def written(file: Path, queries: list[Query], predictions: Mapping[str, PredictedMasks], speed: Any = SPEED) -> str:
    settings = EvaluationSettings('test', 'authors', 0.3, 'weights', 'published')
    report, scored = make_report(BENCHMARKS['tabletop'], settings, queries, predictions, ['file[3]: <broken>'])
    write_page(file, report, scored, predictions, speed)
    return file.read_text()


def body_rows(page: str) -> list[list[str]]:
    body = page.partition('id="examples"')[2].partition('<tbody>')[2].partition('</tbody>')[0]
    return [[unescape(cell) for cell in re.findall(r'<td.*?>(.*?)</td>', row)] for row in body.split('<tr>')[1:]]


def test_examples_have_image_instruction_and_generated_text(page: str) -> None:
    rows = {row[3] + row[8]: row for row in body_rows(page)}
    assert sorted(rows) == ['color100.0', 'size0.0', 'size50.0']
    half = rows['size50.0']
    assert half[1].startswith('<p>one & <b>two</b> $three</p><p class="generated">red mug</p>')
    assert '<b>two' not in page
    assert half[4:8] == ['4', '1', '1', '0.90']
    image = base64.b64decode(half[0].partition('base64,')[2].rstrip('">'))
    assert Image.open(BytesIO(image)).size == (100, 1)
    assert rows['size0.0'][0].endswith('gone.png: expected an image, found no such file')


def test_tables_plots_skips_and_speed(page: str) -> None:
    assert '<td>gIoU</td><td>50.0</td>' in page
    assert '<tr><td>size</td><td>2</td><td>' in page
    assert page.count('<svg') == 1
    assert 'gIoU by number of targets' in page
    assert '1 skipped' in page
    assert 'file[3]: &lt;broken&gt;' in page
    assert 'median 100 ms, 95 % within 200 ms' in page


def test_page_loads_nothing(page: str) -> None:
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)', page)
    assert len(sources) > 2
    assert [source for source in sources if not source.startswith(('data:', '#'))] == []
    assert not re.search(r'@import|url\((?!#)|fetch\(', page)


def test_number_and_size_of_images_are_limited(
    query: MakeQuery, prediction: MakePrediction, pixels: MakeMask, paint: Callable[..., Path], tmp_path: Path
) -> None:
    image = paint('large.png', (600, 800))
    queries = [query(number, pixels(0, 10), image=image) for number in range(70)]
    predictions = {str(number): prediction(number, (pixels(0, number), 0.9)) for number in range(70)}
    page = written(tmp_path / 'report.html', queries, predictions, {})
    whys = [row[2] for row in body_rows(page)]
    assert whys == ['best'] * 20 + ['worst'] * 20 + ['random'] * 20
    assert [row[8] for row in body_rows(page)[:2]] == ['100.0', '90.9']
    assert '<img width="400" height="300"' in page
    assert 'predictions: median' not in page


def test_plots_are_optional(
    query: MakeQuery, prediction: MakePrediction, pixels: MakeMask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    page = written(tmp_path / 'report.html', [query('a', pixels(0, 10))], {'a': prediction('a')})
    assert 'install matplotlib' in page


def test_report_without_predictions(tmp_path: Path, query: MakeQuery, pixels: MakeMask) -> None:
    assert '0 of 1 queries' in written(tmp_path / 'report.html', [query('a', pixels(0, 10))], {})


in_a_browser = pytest.mark.skipif(
    BROWSER is None, reason=f'none of {", ".join(NAMES)} is installed; Debian has chromium: apt install chromium'
)


@in_a_browser
def test_page_sorts_and_filters_in_a_browser(page: str, tmp_path: Path) -> None:
    file = tmp_path / 'checked.html'
    file.write_text(page.replace('<head>', f'<head>{WATCH}').replace('</body>', f'{CHECK}</body>'))
    options = ['--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path / "profile"}', '--dump-dom']
    result = subprocess.run([str(BROWSER), *options, file.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="check">(.*?)</pre>', result.stdout)
    assert found, result.stderr
    check = json.loads(unescape(found[1]))
    assert check['errors'] == []
    assert check['up'] == ['0.0', '50.0', '100.0']
    assert check['down'] == ['100.0', '50.0', '0.0']
    assert check['groups'] == ['color', 'size', 'size']
    assert check['count'] == '2 of 3'
    assert len(check['filtered']) == 2


@in_a_browser
@pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')
def test_screenshot_of_the_page(page: str, tmp_path: Path) -> None:
    command = ['make', '--no-print-directory', 'report-image', f'REPORT={tmp_path / "report.html"}']
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    with Image.open(tmp_path / 'report.png') as image:
        assert image.size == (1280, 1600)
        colors = {color for _, color in image.convert('RGB').getcolors(1 << 20)}
    assert {(255, 255, 255), (0, 114, 178)} < colors  # the page, and the bars of its plots
