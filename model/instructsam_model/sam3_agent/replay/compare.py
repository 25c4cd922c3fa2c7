"""`differences`: what two transcripts of the same run say differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from instructsam_model.sam3_agent.replay.transcript import Transcript

MAX_CHARS = 80
MISSING = '(missing)'
RESULT_KEYS = ('original_image_path', 'pred_boxes', 'pred_masks', 'pred_scores', 'orig_img_h', 'orig_img_w')
FILE_KEYS = (*RESULT_KEYS, 'kept_indices', 'removed_indices', 'iom_threshold')


def differences(
    recorded: Transcript, replayed: Transcript, raw_sha256: str | None, *, same_drawing: bool = False
) -> Iterator[str]:
    """Yield the differences of two runs, as `place: expected, got`.

    Compared are the calls of the model with all messages (kind and slots of sentences, text of replies, which images
    there are, their sizes), the masks, boxes and scores of SAM3 before and after processing, what was drawn, and the
    result or the class of the exception. Not compared are names of files, the color mode of images, the text of
    exceptions, and what only describes a run, such as its title.

    Args:
        recorded: what is expected.
        replayed: what happened.
        raw_sha256: hash of the image of the run: where it was sent or returned unchanged, the other run must have done
            so too; None: only sizes are compared.
        same_drawing: compare all images by their hashes.
    """
    expected, found = (_reduce(each, raw_sha256, same_drawing) for each in (recorded, replayed))
    if 'output_json' in recorded['result']:
        # The helper of the public code keeps the history in a file, and adds two fields to the result.
        found['result'].pop('history', None)
        expected['added'] = {key: recorded['result']['output_json'].get(key) for key in ('text_prompt', 'image_path')}
        found['added'] = {'text_prompt': replayed['query'], 'image_path': replayed['image']}
    yield from _compare('', expected, found)


def _reduce(transcript: Transcript, raw_sha256: str | None, same_drawing: bool) -> dict[str, Any]:
    """Return what is compared of a transcript."""
    images = _Images(raw_sha256, same_drawing)
    return {
        'calls': [transcript['main_calls'], transcript['check_calls'], transcript['replies_used']],
        'replies': transcript['replies'][: transcript['replies_used']],
        'events': [_event(event, images) for event in transcript['events']],
        'result': _result(transcript['result'], images),
    }


class _Images:
    def __init__(self, raw_sha256: str | None, same_drawing: bool) -> None:
        self._raw, self._same_drawing = raw_sha256, same_drawing

    def reduce(self, image: Mapping[str, Any] | None) -> Any:
        if image is None or not image.get('exists', True):
            return 'no image'
        sha256 = image['rgb_sha256']
        return {
            'size_wh': image['size_wh'],
            'is_raw': self._raw is not None and sha256 == self._raw,
            'sha256': sha256 if self._same_drawing else '',
        }

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [{'role': message['role'], 'content': self._content(message['content'])} for message in messages]

    def _content(self, content: Any) -> Any:
        return content if isinstance(content, str) else [self._part(part) for part in content]

    def _part(self, part: Mapping[str, Any]) -> Any:
        if part['type'] == 'image':
            return self.reduce(part)
        if part['type'] != 'text':
            raise ValueError(f'expected a part of type text or image, got {part["type"]!r}')
        if 'kind' not in part:
            return part['text']
        slots = dict(part.get('slots', {}))
        if 'used' in slots:
            slots['used'] = sorted(slots['used'])
        return {'kind': part['kind'], 'slots': slots}


def _event(event: Mapping[str, Any], images: _Images) -> dict[str, Any]:
    name = event['event']
    reduced: dict[str, Any] = {'event': name}
    if name == 'vlm':
        reduced |= {key: event[key] for key in ('call', 'kind', 'reply')}
        reduced['messages'] = images.messages(event['messages'])
    elif name == 'sam3':
        scripted = event['scripted']
        masks = [instance['rle_counts'] for instance in scripted.get('instances', [])]
        reduced |= {'text_prompt': event['text_prompt'], 'raises': scripted.get('raises'), 'masks': masks}
        reduced['image_hw'] = scripted.get('image_hw')
    elif name == 'render':
        # Colors and labels are recorded of the public code, and of ours when it is compared with it.
        reduced |= {key: event[key] for key in ('zoom_index', 'masks', 'random_colors_rgb', 'labels') if key in event}
    elif name == 'render_failed':
        reduced['exception'] = event['error'].partition(':')[0]
    elif name == 'sam3_file':
        content = event['content']
        reduced['content'] = content and {key: content.get(key) for key in FILE_KEYS}
        reduced['image'] = images.reduce(event.get('image'))
    return reduced


def _result(result: Mapping[str, Any], images: _Images) -> dict[str, Any]:
    if result['status'] == 'raised':
        return {'status': 'raised', 'exception': result['exception']}
    # The helper of the public code writes the result and its drawing to files, and returns their names.
    outputs = result.get('final_outputs') or result['output_json']
    reduced = {
        'status': result['status'],
        'outputs': {key: outputs[key] for key in RESULT_KEYS},
        'picture': images.reduce(result.get('picture') or result.get('output_image')),
    }
    if 'history' in result:
        reduced['history'] = images.messages(result['history'])
    return reduced


def _compare(place: str, expected: Any, found: Any) -> Iterator[str]:
    """Yield the differences of two values made of objects, lists and scalars; numbers are compared in float32."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in {**expected, **found}:
            yield from _compare(f'{place}.{key}'.lstrip('.'), expected.get(key, MISSING), found.get(key, MISSING))
    elif isinstance(expected, list) and isinstance(found, list):
        for index in range(min(len(expected), len(found))):
            yield from _compare(f'{place}[{index}]', expected[index], found[index])
        if len(expected) != len(found):
            yield f'{place}: expected {len(expected)} entries, got {len(found)}'
    elif not _is_equal(expected, found):
        yield f'{place}: expected {_brief(expected)}, got {_brief(found)}'


def _is_equal(expected: Any, found: Any) -> bool:
    if type(expected) is not type(found):
        return False
    return bool(np.float32(expected) == np.float32(found)) if isinstance(expected, float) else bool(expected == found)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_CHARS else f'{text[: MAX_CHARS - 3]}...'
