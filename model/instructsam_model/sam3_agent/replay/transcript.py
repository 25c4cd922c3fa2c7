"""Transcripts: everything that was said and found in a run, as JSON, from which it can be replayed without a model.

A transcript has `name, image, query, max_generations, replies, replies_used, main_calls, check_calls, events, result`;
those of this package also `strict, limits, prompts_sha256`. Its events, in order:

    vlm            {call, kind, messages, reply}, and {usage, finish_reason, seconds} or {error}
    sam3           {text_prompt, scripted: {image_hw, instances: [{box_xyxy_px, score, rle_counts}]} or {raises}}
    render         {zoom_index, masks}; render_failed {error}
    sam3_file      {path, content, image}: what is left of SAM3's masks, and their image
    canceled       {}

Messages have `role` and `content`: text (`kind` and `slots` of a sentence, else `text`) and images (`path, exists,
mode, size_wh, rgb_sha256`). In place of a system prompt stands its name. `result` is `returned` with `final_outputs`,
`history`, `picture` and `ended`, or `raised` with `exception`. The words `scripted` and `picture` are those of the
recorded runs of the public code, which have the same form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from instructsam_model.masks import Mask, decode_rle, encode_rle, to_rle
from instructsam_model.sam3_agent.core.detections import Detections

Transcript = dict[str, Any]

SYSTEM_NAMES = {'main': '<<SYSTEM PROMPT: MAIN>>', 'check': '<<SYSTEM PROMPT: CHECKING>>'}
KEYS = {'name': str, 'image': str, 'query': str, 'max_generations': int, 'events': list, 'result': dict}
EVENT_KEYS = {
    'vlm': ('kind', 'messages', 'reply'),
    'sam3': ('text_prompt', 'scripted'),
    'render': ('zoom_index', 'masks'),
    'render_failed': ('error',),
    'sam3_file': ('content',),
    'canceled': (),
}
"""Kind of event: the keys that it needs."""
INDEX = 'index.json'


class TranscriptError(ValueError):
    """A file is no transcript, or no table of recorded data; the message says what is wrong with it."""


def read_transcripts(path: Path) -> Iterator[Transcript]:
    """Yield the transcripts of a file `.json` (one) or `.jsonl` (one a line), or of a folder of such files.

    Raises:
        TranscriptError: there are none, or a file holds something else.
        OSError: a file cannot be read.
    """
    files = sorted(file for file in path.iterdir() if file.suffix in ('.json', '.jsonl')) if path.is_dir() else [path]
    files = [file for file in files if file.name != INDEX]
    if not files:
        raise TranscriptError(f'{path}: expected transcripts (*.json, *.jsonl), found none')
    for file in files:
        texts = [file.read_text(encoding='utf-8')]
        if file.suffix == '.jsonl':
            texts = texts[0].splitlines()
        if not any(text.strip() for text in texts):
            raise TranscriptError(f'{file}: expected transcripts, found an empty file')
        for number, text in enumerate(texts, 1):
            yield parse_transcript(text, f'{file}:{number}' if file.suffix == '.jsonl' else str(file))


def parse_transcript(text: str, source: str) -> Transcript:
    """Read a transcript from JSON and check its form.

    Raises:
        TranscriptError: it is none; the message begins with `source`.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TranscriptError(f'{source}: expected the JSON of a transcript ({error}); is the file cut off?') from None
    if not isinstance(value, dict):
        raise TranscriptError(f'{source}: expected a transcript (an object), got {type(value).__name__}')
    for key, kind in KEYS.items():
        if not isinstance(value.get(key), kind):
            raise TranscriptError(f'{source}: expected {key} ({kind.__name__}), got {value.get(key)!r:.60}')
    for number, event in enumerate(value['events']):
        name = event.get('event') if isinstance(event, dict) else event
        if not isinstance(name, str) or name not in EVENT_KEYS:
            raise TranscriptError(
                f'{source}: event {number}: expected one of {", ".join(EVENT_KEYS)}, got {name!r:.60}'
            )
        if missing := [key for key in EVENT_KEYS[name] if key not in event]:
            raise TranscriptError(f'{source}: event {number} ({name}): {missing[0]} is missing')
    return value


def format_transcript(transcript: Transcript) -> str:
    """Return a transcript as one line of JSON."""
    return json.dumps(transcript, ensure_ascii=True, allow_nan=False, separators=(',', ':'))


def append_transcript(path: Path, transcript: Transcript) -> None:
    """Add a transcript to a `.jsonl` file, as one line, in one write.

    Raises:
        OSError: it cannot be written.
    """
    with path.open('a', encoding='utf-8') as file:
        file.write(format_transcript(transcript) + '\n')


def to_instances(detections: Detections) -> list[dict[str, Any]]:
    """Return detections as the instances of an event `sam3`; `box_xywh` has the exact numbers, as fractions."""
    height, width = detections.size_hw
    boxes = detections.boxes_xywh.astype(np.float64)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) * [width, height, width, height]
    return [
        {'box_xyxy_px': corner, 'box_xywh': box, 'score': score, 'rle_counts': encode_rle(mask)['counts']}
        for corner, box, score, mask in zip(
            corners.tolist(), boxes.tolist(), detections.scores.tolist(), detections.masks, strict=True
        )
    ]


def to_detections(scripted: Mapping[str, Any]) -> Detections:
    """Return the detections of an event `sam3`.

    Raises:
        ValueError: a mask is damaged.
    """
    size_hw = (int(scripted['image_hw'][0]), int(scripted['image_hw'][1]))
    instances = scripted['instances']
    masks = [decode(instance['rle_counts'], size_hw) for instance in instances]
    scores = [instance['score'] for instance in instances]
    if instances and all('box_xywh' in instance for instance in instances):
        boxes = np.array([instance['box_xywh'] for instance in instances], np.float32)
        return Detections(size_hw, tuple(masks), boxes, np.array(scores, np.float32))
    corners = np.array([instance['box_xyxy_px'] for instance in instances], np.float32)
    return Detections.from_pixels(size_hw, masks, corners, scores)


def to_outputs(detections: Detections, image: str) -> dict[str, Any]:
    """Return detections as the public agent returns its result: six keys."""
    height, width = detections.size_hw
    return {
        'original_image_path': image,
        'orig_img_h': height,
        'orig_img_w': width,
        'pred_boxes': detections.boxes_xywh.tolist(),
        'pred_scores': detections.scores.tolist(),
        'pred_masks': [encode_rle(mask)['counts'] for mask in detections.masks],
    }


def from_outputs(outputs: Mapping[str, Any]) -> Detections:
    """Return the detections of `to_outputs`, or of the content of an event `sam3_file`.

    Raises:
        ValueError: a mask is damaged.
    """
    size_hw = (int(outputs['orig_img_h']), int(outputs['orig_img_w']))
    masks = tuple(decode(counts, size_hw) for counts in outputs['pred_masks'])
    boxes = np.array(outputs['pred_boxes'], np.float32).reshape(-1, 4)
    return Detections(size_hw, masks, boxes, np.array(outputs['pred_scores'], np.float32))


def decode(counts: str, size_hw: tuple[int, int]) -> Mask:
    """Return the mask of compressed counts.

    Raises:
        ValueError: they are damaged.
    """
    return decode_rle(to_rle({'size': list(size_hw), 'counts': counts}))
