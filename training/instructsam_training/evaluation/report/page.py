"""The report as one self-contained HTML file: tables, plots and examples."""

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
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.report.files import write_text
from instructsam_training.evaluation.report.gallery import (
    GROUND_TRUTH_RGB,
    PREDICTION_RGB,
    Example,
    choose_examples,
    draw_example,
    make_examples,
)
from instructsam_training.evaluation.report.grid import as_html
from instructsam_training.evaluation.report.plots import draw_plots
from instructsam_training.evaluation.report.rounds import rounds_html
from instructsam_training.evaluation.report.speed import speed_line
from instructsam_training.evaluation.report.table import heading, report_grids
from instructsam_training.evaluation.scoring import ScoredPredictions
from instructsam_training.evaluation.transcripts import TranscriptFolder

TEMPLATE = Path(__file__).with_name('page.html')
JPEG_QUALITY = 80
MAX_LISTED = 50


def write_page(
    file: Path,
    report: Mapping[str, Any],
    scored: ScoredPredictions,
    predictions: Mapping[str, PredictedMasks],
    speed: Mapping[str, Any],
    transcripts: TranscriptFolder | None = None,
) -> None:
    """Write the HTML page of a report atomically.

    Args:
        file: to write.
        report: from `make_report`.
        scored: from `make_report`.
        predictions: by query.
        speed: from `summarize_speed`.
        transcripts: of the runs of an agent, whose rounds are shown with the examples; None if there are none.
    """
    # Images are embedded, so only a few examples are shown.
    examples = choose_examples(make_examples(scored, predictions, report['settings']['min_score']))
    # Options of the back end are shown like the other settings; empty ones are left out.
    settings = report['settings'] | report['settings']['options']
    described = (f'{name} {value}' for name, value in settings.items() if value not in (None, '') and name != 'options')
    page = Template(TEMPLATE.read_text(encoding='utf-8')).substitute(
        title=escape(heading(report)),
        settings=escape(', '.join(described)),
        speed=escape(speed_line(speed)) if speed else '',
        skipped=_skipped(report['skipped']),
        tables='\n'.join(map(as_html, report_grids(report))),
        plots=_plots(scored),
        ground_truth_rgb=_css_color(GROUND_TRUTH_RGB),
        prediction_rgb=_css_color(PREDICTION_RGB),
        examples='\n'.join(_row(each, _rounds(predictions[each.query.id], transcripts)) for each in examples),
    )
    write_text(file, page)


def _skipped(lines: Sequence[str]) -> str:
    """Return a collapsed list of what was skipped; empty if nothing was."""
    if not lines:
        return ''
    items = ''.join(f'<li>{escape(line)}</li>' for line in lines[:MAX_LISTED])
    more = f'<li>and {len(lines) - MAX_LISTED} more in report.json</li>' if len(lines) > MAX_LISTED else ''
    return f'<details><summary>{len(lines)} skipped</summary><ul>{items}{more}</ul></details>'


def _plots(scored: ScoredPredictions) -> str:
    # matplotlib is an optional dependency.
    try:
        return draw_plots(scored)
    except ImportError:
        return (
            '<p>For plots, install matplotlib (pip install instructsam_ros[train]) and run the same command again.</p>'
        )


def _rounds(prediction: PredictedMasks, transcripts: TranscriptFolder | None) -> str:
    """Return the rounds of the run of an agent; empty for other models."""
    transcript = transcripts.read(prediction.id) if transcripts is not None and prediction.ended else None
    if transcripts is None or transcript is None:
        return ''
    return rounds_html(transcript, transcripts.folder, prediction)


def _row(example: Example, rounds: str) -> str:
    """Return an example as one row of the sortable table."""
    query, scores = example.query, ', '.join(f'{score:.2f}' for score in example.scores)
    # Cells that the page sorts by, in the order of the headings in page.html.
    cells = (
        example.category,
        query.group,
        len(query.text.split()),
        len(query.targets),
        len(example.masks),
        scores,
        f'{100 * example.iou:.1f}',
    )
    texts = ''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)
    words = f'<td class="words"><p>{escape(query.text)}</p><p class="generated">{escape(example.text)}</p>'
    return f'<tr><td>{_image(example)}</td>{words}<small>{escape(query.id)}</small>{rounds}</td>{texts}</tr>'


def _image(example: Example) -> str:
    """Return the image with its masks as an embedded JPEG, or the error if it cannot be read."""
    try:
        # The image may have been moved since the prediction.
        image_rgb = draw_example(example)
    except FrameError as error:
        return escape(str(error))
    stream = io.BytesIO()
    Image.fromarray(image_rgb).save(stream, 'JPEG', quality=JPEG_QUALITY)
    height, width = image_rgb.shape[:2]
    data = base64.b64encode(stream.getvalue()).decode('ascii')
    return f'<img width="{width}" height="{height}" alt="" src="data:image/jpeg;base64,{data}">'


def _css_color(color: Sequence[int]) -> str:
    return '#' + bytes(color).hex()
