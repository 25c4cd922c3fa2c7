"""`check_tables`: recorded inputs and outputs of single functions, against ours.

A table is a file `<name>.json`; the names are those of the recorded data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instructsam_model.masks import encode_rle, run_lengths
from instructsam_model.sam3_agent.core.messages import ImagePart, Message, TextPart, View, count_images
from instructsam_model.sam3_agent.core.postprocess import MIN_COUNTS_CHARS, iom_matrix, postprocess
from instructsam_model.sam3_agent.core.prune import prune_strict
from instructsam_model.sam3_agent.drawing.colors import PALETTE, farthest_color, text_box_color, text_color
from instructsam_model.sam3_agent.drawing.labels import TextStyle, place_labels
from instructsam_model.sam3_agent.drawing.marks import draw_marks
from instructsam_model.sam3_agent.drawing.zoom import zoom_view
from instructsam_model.sam3_agent.drawing.zoom_pair import draw_zoom_pair
from instructsam_model.sam3_agent.replay.client_table import check_client
from instructsam_model.sam3_agent.replay.known_fields import TABLES, unknown_fields
from instructsam_model.sam3_agent.replay.transcript import TranscriptError, decode, from_outputs
from instructsam_model.sam3_agent.tool_calls.calls import ReplyError, ReportCall, SegmentCall
from instructsam_model.sam3_agent.tool_calls.parse import call_text, load_json, parse_strict

Case = Mapping[str, Any]
Check = Callable[[Any, Path], Iterator[tuple[str, Any, Any]]]
"""Yields what of the recorded cases is compared, as place, expected and found; each case at least once."""
MAX_DIFFERENCES = 5


@dataclass(frozen=True)
class TableReport:
    """What became of one table.

    Attributes:
        name: of the table.
        cases: recorded cases.
        differences: up to `MAX_DIFFERENCES`; none if all are equal.
        unknown_fields: places of fields that are not known, and therefore not compared.
    """

    name: str
    cases: int
    differences: tuple[str, ...]
    unknown_fields: tuple[str, ...] = ()


def check_tables(folder: Path, inputs: Path) -> list[TableReport]:
    """Check all tables of a folder.

    Args:
        folder: with the tables.
        inputs: folder of the images that they name.

    Raises:
        TranscriptError: there are no tables, or one is not understood.
        OSError: a file cannot be read.
    """
    files = sorted(folder.glob('*.json'))
    if not files:
        raise TranscriptError(f'{folder}: expected tables ({", ".join(CHECKS)}), found none')
    return [check_table(file, inputs) for file in files]


def check_table(file: Path, inputs: Path) -> TableReport:
    """Check one table.

    Args:
        file: the table.
        inputs: folder of the images that it names.

    Raises:
        TranscriptError: it is not understood.
        OSError: it cannot be read.
    """
    name = file.stem
    if name not in CHECKS:
        raise TranscriptError(f'{file}: expected a table named {", ".join(CHECKS)}, got {name}')
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        results = list(CHECKS[name](content, inputs))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise TranscriptError(f'{file}: not understood ({type(error).__name__}: {error})') from error
    cases = len({place.rpartition(':')[0] for place, _, _ in results})
    if not cases:
        raise TranscriptError(f'{file}: expected cases, found none')
    wrong = [
        f'{place}: expected {expected!r:.80}, got {found!r:.80}'
        for place, expected, found in results
        if expected != found
    ]
    unknown = tuple(unknown_fields(content, TABLES[name]))
    return TableReport(name, cases, tuple(wrong[:MAX_DIFFERENCES]), unknown)


def _rle(cases: list[Case], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for number, case in enumerate(cases):
        size_hw = case['size_hw'][0], case['size_hw'][1]
        runs = np.array(case['runs'])
        # Column by column, from the runs.
        mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size_hw, order='F')
        counts = encode_rle(np.ascontiguousarray(mask))['counts']
        yield f'{number}: counts', case['counts'], counts
        yield f'{number}: runs', case['runs'], run_lengths(counts, size_hw).tolist()
        yield f'{number}: area', case['area'], int(mask.sum())
        yield f'{number}: kept', case['kept_by_length_rule'], len(counts) >= MIN_COUNTS_CHARS


def _overlap(cases: list[Case], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for number, case in enumerate(cases):
        detections = from_outputs(case['input'])
        yield f'{number}: iom', case['iom'], np.round(iom_matrix(detections).astype(float), 6).tolist()
        filtered = postprocess(detections, strict=True)
        yield f'{number}: kept', case['kept_indices'], filtered.kept
        yield f'{number}: removed', case['removed_indices'], filtered.removed
        yield f'{number}: unchanged', case['unchanged'], filtered.kept is None
        # The boxes of the recorded cases number the masks.
        yield (
            f'{number}: order',
            case['order_after_sort_and_length_rule'],
            filtered.detections.boxes_xywh[:, 0].tolist(),
        )


def _zoom(cases: list[Case], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for number, case in enumerate(cases):
        mask = decode(case['counts'], (case['size_hw'][0], case['size_hw'][1]))
        image_rgb = np.empty((*mask.shape, 3), np.uint8)
        image_rgb[:] = case['background_rgb']
        image_rgb[mask] = case['mask_rgb']
        view = zoom_view(image_rgb, mask)
        height, width = draw_zoom_pair(image_rgb, mask, view).shape[:2]
        yield f'{number}: area', case['mask_area'], int(mask.sum())
        yield f'{number}: box', case['mask_bbox_xyxy'], list(view.box_xyxy)
        yield f'{number}: context box', case['context_box_xyxy'], list(view.context_box_xyxy)
        yield f'{number}: zoom box', case['zoom_box_xyxy'], list(view.zoom_box_xyxy)
        yield f'{number}: context size', case['context_panel_size'], list(view.context_size_wh)
        yield f'{number}: zoom size', case['zoom_panel_size'], list(view.zoom_size_wh)
        yield f'{number}: side by side', case['side_by_side'], view.side_by_side
        yield f'{number}: color', case['colour'], view.color.hex
        yield f'{number}: image size', case['picture_size'], [width, height]


def _farthest_color(content: Case, inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    yield 'palette: names', content['palette'], [[color.hex, color.name] for color in PALETTE]
    overlay = np.array(content['overlay_palette_0_1'], np.float32).tolist()
    yield 'palette: fractions', overlay, np.array([color.fractions for color in PALETTE], np.float32).tolist()
    for number, case in enumerate(content['cases']):
        color = farthest_color(np.array(case['pixels'], np.uint8))
        yield f'{number}: color', [case['colour'], case['name']], [list(color.rgb), color.name]


def _labels(cases: list[Case], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for number, case in enumerate(cases):
        size_hw = case['size_hw'][0], case['size_hw'][1]
        places = place_labels([decode(counts, size_hw) for counts in case['counts']])
        expected = [[label['start_xy'], label['final_xy']] for label in case['labels']]
        yield f'{number}: labels', expected, [[list(place.start_xy), list(place.final_xy)] for place in places]


def _text_style(content: Case, inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for case in content['sizes']:
        width, height = case['size_wh']
        style = TextStyle.of((width, height))
        drawn = draw_marks(np.zeros((height, width, 3), np.uint8), [], [])
        yield f'{width}x{height}: image size', case['picture_size_wh'], [drawn.shape[1], drawn.shape[0]]
        yield f'{width}x{height}: font', case['font_size_pt'], style.font_size_pt
        yield f'{width}x{height}: outline', case['outline_width_pt'], style.outline_width_pt
    for case in content['colours']:
        red, green, blue = case['mask_colour']
        text = text_color((red, green, blue))
        yield f'{case["mask_colour"]}: text', case['text_colour'], list(text)
        yield f'{case["mask_colour"]}: box', case['box'], text_box_color(text)


def _pruning(cases: list[Case], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for case in cases:
        messages = [_message(message) for message in case['messages']]
        name = case['name']
        try:
            pruned = prune_strict(messages, case['used_phrases'], case['latest_phrase'], 'q')
        except ReplyError as error:
            yield f'{name}: raises', case.get('raises', '').partition(':')[0], error.exception
            continue
        yield f'{name}: raises', case.get('raises'), None
        if 'raises' in case:
            continue
        kept = [messages.index(message) if message in messages else 'rewritten' for message in pruned]
        yield f'{name}: kept', case['kept'], kept
        warned = [part.slots.get('used', []) for part in pruned[1].parts if isinstance(part, TextPart)]
        yield f'{name}: warned', [case['warned_phrases']], warned
        yield f'{name}: images', case['images'], count_images(pruned)


def _message(message: Case) -> Message:
    content = message['content']
    parts = [{'type': 'text', 'text': content}] if isinstance(content, str) else content
    return Message(
        message['role'],
        tuple(TextPart(part['text']) if part['type'] == 'text' else ImagePart(View('image'), None) for part in parts),
    )


def _parse(cases: list[Case], inputs: Path) -> Iterator[tuple[str, Any, Any]]:
    for number, case in enumerate(cases):
        text = call_text(case['reply'])
        yield f'{number}: text', case['json_text'], text
        yield f'{number}: parsed', case['parsed'], _parsed(text)
        try:
            call = parse_strict(case['reply'], has_masks=False)
        except ReplyError as error:
            yield f'{number}: outcome', [case['outcome'], case.get('exception')], ['raised', error.exception]
            continue
        tool = {ReportCall: 'report_no_mask', SegmentCall: 'segment_phrase'}[type(call)]
        yield f'{number}: outcome', case['outcome'], tool


def _parsed(text: str) -> str | None:
    """Return the value of JSON as recorded: as Python writes it; None for text that is not JSON."""
    try:
        return repr(load_json(text))
    except ReplyError:
        return None


CHECKS: dict[str, Check] = {
    'client': check_client,
    'farthest_colour': _farthest_color,
    'labels': _labels,
    'overlap': _overlap,
    'parse': _parse,
    'pruning': _pruning,
    'rle': _rle,
    'text_style': _text_style,
    'zoom': _zoom,
}
"""Name of the table: how it is compared."""
