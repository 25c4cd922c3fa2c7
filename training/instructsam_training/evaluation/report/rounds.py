"""The rounds of a run of an agent as HTML: what the model saw, what it replied, and what came of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from instructsam_model.image_io import read_image
from instructsam_training.evaluation.prediction import PredictedMasks

MAX_SIDE_PX = 320
"""Larger images are scaled down."""
JPEG_QUALITY = 75
Event = Mapping[str, Any]


def rounds_html(transcript: Mapping[str, Any], folder: Path, prediction: PredictedMasks) -> str:
    """Return a collapsed list of the rounds of a run.

    Args:
        transcript: of the run.
        folder: that the paths of its images are relative to.
        prediction: of the run.
    """
    items, shown, rounds = [], '', 0
    for event in transcript['events']:
        if event['event'] == 'vlm' and event['kind'] == 'main':
            rounds += 1
            path = _newest_images(event)[-1:]
            # The image of the query is shown beside the rounds, and an image that was seen before only once.
            new = [each for each in path if each not in (shown, transcript['image'])]
            shown = path[0] if path else shown
            items.append(f'<b>round {rounds}</b>{_images(new, folder)}{_reply(event)}')
        elif event['event'] == 'vlm':
            items.append(f'a mask on its own{_images(_newest_images(event)[1:], folder)}{_reply(event)}')
        elif event['event'] == 'sam3':
            items.append(escape(_found(event)))
        elif event['event'] in ('render_failed', 'canceled'):
            items.append(escape(' '.join(filter(None, (event['event'].replace('_', ' '), event.get('error'))))))
    items.append(f'<b>{"died" if prediction.died else "ended"}</b> {escape(prediction.text)}')
    listed = ''.join(f'<li>{item}</li>' for item in items)
    calls = int(prediction.counts.get('calls', 0))
    return (
        f'<details class="rounds"><summary>{rounds} rounds, {calls} calls, {escape(prediction.ended)}</summary>'
        f'<ol>{listed}</ol></details>'
    )


def _reply(event: Event) -> str:
    """Return the reply of the model, or why there is none."""
    if 'error' in event:
        return f'<p>no reply: {escape(event["error"])}</p>'
    return f'<pre>{escape(event["reply"] if event["reply"] is not None else "(no content)")}</pre>'


def _found(event: Event) -> str:
    """Return what SAM3 found, as text."""
    scripted = event['scripted']
    if 'raises' in scripted:
        return f'SAM3 failed: {scripted["raises"]}'
    scores = ', '.join(f'{instance["score"]:.2f}' for instance in scripted['instances'])
    count = len(scripted['instances'])
    scored = f', {"score" if count == 1 else "scores"} {scores}' if scores else ''
    return f"SAM3: {count} {'mask' if count == 1 else 'masks'} of '{event['text_prompt']}'{scored}"


def _newest_images(event: Event) -> list[str]:
    """Return the paths of the images in the newest message that has some."""
    for message in reversed(event['messages']):
        content = message['content'] if isinstance(message['content'], list) else []
        paths = [part['path'] for part in content if part.get('type') == 'image' and part.get('exists')]
        if paths:
            return paths
    return []


def _images(paths: list[str], folder: Path) -> str:
    """Return images as embedded JPEGs; those that have been deleted are named."""
    return ''.join(f'<div>{_image(folder / path)}</div>' for path in paths)


def _image(file: Path) -> str:
    if not file.is_file():
        return f'<small>{escape(str(file))} is missing</small>'
    image = Image.fromarray(read_image(file))
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    stream = io.BytesIO()
    image.save(stream, 'JPEG', quality=JPEG_QUALITY)
    data = base64.b64encode(stream.getvalue()).decode('ascii')
    return f'<img width="{image.width}" height="{image.height}" alt="" src="data:image/jpeg;base64,{data}">'
