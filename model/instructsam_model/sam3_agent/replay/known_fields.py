"""Which fields recorded runs and tables have, so that a field that nothing compares is named and not passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from instructsam_model.sam3_agent.replay.transcript import Transcript

Fields = Mapping[str, Any]
"""Name of a field: the fields of the objects in it, also of those in a list; None: any."""


def _plain(*names: str) -> dict[str, Any]:
    return {name: {} for name in names}


IMAGE = _plain('path', 'exists', 'mode', 'size_wh', 'rgb_sha256')
MESSAGE: Fields = {
    'role': {},
    'content': {
        **_plain('type', 'text', 'kind'),
        **IMAGE,
        'slots': _plain('query', 'n', 'phrase', 'used', 'fault', 'left'),
    },
}
OUTPUTS = _plain('original_image_path', 'orig_img_h', 'orig_img_w', 'pred_boxes', 'pred_masks', 'pred_scores')
FILE = {**OUTPUTS, **_plain('output_image_path', 'kept_indices', 'removed_indices', 'iom_threshold')}
INSTANCE = _plain('box_xyxy_px', 'box_xywh', 'score', 'rle_counts')
EVENTS: dict[str, Fields] = {
    'vlm': {
        **_plain('call', 'kind', 'reply', 'finish_reason', 'error'),
        'messages': MESSAGE,
        'usage': _plain('prompt_tokens', 'completion_tokens', 'cost'),
    },
    'sam3': {'text_prompt': {}, 'scripted': {**_plain('image_hw', 'raises'), 'instances': INSTANCE}},
    'render': {**_plain('zoom_index', 'masks', 'random_colors_rgb'), 'labels': _plain('original_xy', 'final_xy')},
    'render_failed': _plain('error'),
    'sam3_file': {'path': {}, 'content': FILE, 'image': IMAGE},
    'canceled': {},
}
RESULT: Fields = {
    **_plain('status', 'exception', 'message', 'ended', 'reason', 'notes', 'phrase', 'seconds'),
    **_plain('returned', 'output_json_path', 'history_path'),
    'final_outputs': OUTPUTS,
    'output_json': {**OUTPUTS, **_plain('text_prompt', 'image_path')},
    'output_image': IMAGE,
    'picture': IMAGE,
    'history': MESSAGE,
}
RUN: Fields = {
    **_plain('name', 'title', 'note', 'image', 'query', 'max_generations', 'entry', 'seed', 'strict'),
    **_plain('replies', 'replies_used', 'main_calls', 'check_calls', 'files_left_in_output_dir', 'peak_memory_gib'),
    'limits': _plain('calls', 'seconds', 'tokens', 'cost', 'reply_tokens', 'malformed', 'prices'),
    'prompts_sha256': _plain('main', 'check'),
    'events': None,
    'result': RESULT,
}
TABLES: dict[str, Fields] = {
    'client': {
        **_plain('name', 'server', 'returned'),
        'messages': None,
        'arguments': _plain('server_url', 'model', 'api_key'),
        'client_arguments': _plain('api_key', 'base_url'),
        'request': {**_plain('model', 'max_completion_tokens', 'n'), 'messages': None},
    },
    'farthest_colour': {**_plain('palette', 'overlay_palette_0_1'), 'cases': _plain('pixels', 'colour', 'name')},
    'labels': {**_plain('size_hw', 'counts'), 'labels': _plain('start_xy', 'final_xy')},
    'overlap': {
        **_plain('iom', 'kept_indices', 'removed_indices', 'unchanged', 'order_after_sort_and_length_rule'),
        'input': FILE,
    },
    'parse': _plain('reply', 'json_text', 'outcome', 'exception', 'parsed'),
    'pruning': {
        **_plain('name', 'used_phrases', 'latest_phrase', 'kept', 'warned_phrases', 'images', 'raises'),
        'messages': {'role': {}, 'content': _plain('type', 'text', 'image')},
    },
    'rle': _plain('size_hw', 'runs', 'counts', 'area', 'kept_by_length_rule'),
    'text_style': {
        'sizes': _plain('size_wh', 'picture_size_wh', 'font_size_pt', 'outline_width_pt'),
        'colours': _plain('mask_colour', 'text_colour', 'box'),
    },
    'zoom': _plain(
        'size_hw', 'counts', 'background_rgb', 'mask_rgb', 'mask_area', 'mask_bbox_xyxy', 'context_box_xyxy',
        'zoom_box_xyxy', 'context_panel_size', 'zoom_panel_size', 'side_by_side', 'colour', 'picture_size',
    ),
}  # fmt: skip
"""Name of a table: the fields of its cases."""


def unknown_in_run(transcript: Transcript) -> Iterator[str]:
    """Yield the places of fields of a transcript that are not known."""
    yield from unknown_fields(transcript, RUN)
    for number, event in enumerate(transcript['events']):
        yield from unknown_fields(event, {'event': {}, 'seconds': {}, **EVENTS[event['event']]}, f'events[{number}]')


def unknown_fields(value: Any, known: Fields | None, place: str = '') -> Iterator[str]:
    """Yield the places of fields that are not known, such as `result.picture.format`.

    Args:
        value: made of objects, lists and scalars.
        known: see `Fields`.
        place: of the value.
    """
    if known is None:
        return
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from unknown_fields(each, known, f'{place}[{number}]')
    elif isinstance(value, dict):
        for key, each in value.items():
            inner = f'{place}.{key}'.lstrip('.')
            if key in known:
                yield from unknown_fields(each, known[key], inner)
            else:
                yield inner
