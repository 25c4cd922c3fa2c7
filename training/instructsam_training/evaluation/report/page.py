"""The report as one HTML file that needs nothing else: tables, plots, and cases to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from instructsam_model.errors import FrameError
from instructsam_model.instructsam.special_text import plain_text
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.report.gallery import ANSWER_RGB, TRUTH_RGB, Case, cases_of, choose, picture_of
from instructsam_training.evaluation.report.grid import as_html
from instructsam_training.evaluation.report.plots import plots
from instructsam_training.evaluation.report.table import heading, report_grids, speed_line
from instructsam_training.evaluation.scoring import Judged

TEMPLATE = Path(__file__).with_name('page.html')
JPEG_QUALITY = 80
SHOWN_SKIPS = 50


def write_page(
    file: Path, report: Mapping[str, Any], judged: Judged, answers: Mapping[str, Answer], speed: Mapping[str, Any]
) -> None:
    """Write the page of a report, whole or not at all.

    Args:
        file: to write.
        report: its numbers, as `make_report` returns them.
        judged: the questions, as `make_report` returns them.
        answers: by question.
        speed: of the answers; empty where nobody measured.
    """
    cases = choose(cases_of(judged, answers, report['setting']['min_score']))
    page = Template(TEMPLATE.read_text(encoding='utf-8')).substitute(
        title=escape(heading(report)),
        setting=escape(', '.join(f'{name} {value}' for name, value in report['setting'].items() if value is not None)),
        speed=escape(speed_line(speed)) if speed else '',
        skips=_skips(report['skipped']),
        tables='\n'.join(map(as_html, report_grids(report))),
        plots=_plots(judged),
        truth_rgb=_css(TRUTH_RGB),
        answer_rgb=_css(ANSWER_RGB),
        cases='\n'.join(map(_row, cases)),
    )
    part = file.with_name(f'.{file.name}.part')
    part.write_text(page, encoding='utf-8')
    part.replace(file)


def _skips(lines: Sequence[str]) -> str:
    """What was skipped, folded away; nothing where nothing was."""
    if not lines:
        return ''
    items = ''.join(f'<li>{escape(line)}</li>' for line in lines[:SHOWN_SKIPS])
    more = f'<li>and {len(lines) - SHOWN_SKIPS} more in report.json</li>' if len(lines) > SHOWN_SKIPS else ''
    return f'<details><summary>{len(lines)} skipped</summary><ul>{items}{more}</ul></details>'


def _plots(judged: Judged) -> str:
    try:
        return plots(judged)
    except ImportError:
        return (
            '<p>For plots, install matplotlib (pip install instructsam_ros[train]) and run the same command again.</p>'
        )


def _row(case: Case) -> str:
    """A case as a row of the table that can be sorted."""
    question, scores = case.question, ', '.join(f'{score:.2f}' for score in case.scores)
    cells = (
        case.why,
        question.group,
        len(question.text.split()),
        len(question.targets),
        len(case.masks),
        scores,
        f'{100 * case.iou:.1f}',
    )
    texts = ''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)
    said = plain_text(case.text)
    words = f'<td class="words"><p>{escape(question.text)}</p><p class="said">{escape(said)}</p>'
    return f'<tr><td>{_image(case)}</td>{words}<small>{escape(question.id)}</small></td>{texts}</tr>'


def _image(case: Case) -> str:
    """The picture with its outlines as part of the page; why not, where it cannot be read."""
    try:
        picture = picture_of(case)
    except FrameError as error:
        return escape(str(error))
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, 'JPEG', quality=JPEG_QUALITY)
    height, width = picture.shape[:2]
    data = base64.b64encode(stream.getvalue()).decode('ascii')
    return f'<img width="{width}" height="{height}" alt="" src="data:image/jpeg;base64,{data}">'


def _css(color: Sequence[int]) -> str:
    return '#' + bytes(color).hex()
