"""`TranscriptRecorder`: writes down a run while it happens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructsam_model.sam3_agent.core.actions import (
    Action,
    AskVlm,
    Canceled,
    Event,
    Finish,
    Render,
    Rendered,
    RenderFailed,
    Reply,
    Segment,
    Segmented,
    SegmentFailed,
    VlmFailed,
)
from instructsam_model.sam3_agent.core.messages import Message, Part, TextPart, View
from instructsam_model.sam3_agent.core.postprocess import MAX_IOM, postprocess
from instructsam_model.sam3_agent.core.state import AgentState
from instructsam_model.sam3_agent.prompts.checking import CHECKING_PROMPT
from instructsam_model.sam3_agent.prompts.main import MAIN_PROMPT
from instructsam_model.sam3_agent.replay.transcript import SYSTEM_NAMES, Transcript, to_instances, to_outputs

Pixels = NDArray[np.uint8]
SaveImage = Callable[[str, Pixels], str]
"""Keeps an image under a suggested name without extension; returns the path that the transcript names."""
Describe = Callable[[View], dict[str, Any]]
"""Returns what was chosen for a drawing, such as colors; added to its event."""
SYSTEM_TEXTS = {MAIN_PROMPT: SYSTEM_NAMES['main'], CHECKING_PROMPT: SYSTEM_NAMES['check']}


class TranscriptRecorder:
    """Observes a run, see `loop.Observer`, and makes its transcript.

    Args:
        name: of the run.
        image: path of its image, as the transcript names it.
        save_image: keeps each image that is sent, once; None: only sizes and hashes are kept.
        describe: see `Describe`; None: nothing is added.

    Attributes:
        transcript: complete when the run is over.
    """

    def __init__(
        self, name: str, image: str, save_image: SaveImage | None = None, describe: Describe | None = None
    ) -> None:
        self.transcript: Transcript = {'name': name, 'image': image}
        self._save_image = save_image
        self._describe = describe
        self._events: list[dict[str, Any]] = []
        self._found: dict[str, Any] | None = None
        # The pixels are kept with what is said about them, so that no other image gets their address.
        self._images: dict[int, tuple[Pixels, dict[str, Any]]] = {}

    def __call__(self, state: AgentState, action: Action, event: Event | None) -> None:
        """Note what became of an action."""
        if isinstance(action, Finish):
            self._finish(state, action)
        elif isinstance(event, Canceled):
            self._add('canceled', event)
        elif isinstance(action, AskVlm) and event is not None:
            self._ask(action, event)
        elif isinstance(action, Segment) and event is not None:
            self._segment(state, action, event)
        elif isinstance(action, Render) and event is not None:
            self._render(state, action, event)

    def _add(self, name: str, event: Event | None, **content: Any) -> None:
        seconds = {} if event is None else {'seconds': event.seconds}
        self._events.append({'event': name, **content, **seconds})

    def _ask(self, action: AskVlm, event: Event) -> None:
        number = 1 + sum(each['event'] == 'vlm' for each in self._events)
        content: dict[str, Any] = {'call': number, 'kind': action.kind, 'messages': self._messages(action.messages)}
        content['reply'] = event.text if isinstance(event, Reply) else None
        if isinstance(event, Reply):
            usage = event.usage
            content['usage'] = {
                'prompt_tokens': usage.prompt_tokens,
                'completion_tokens': usage.completion_tokens,
                'cost': usage.cost,
            }
            content['finish_reason'] = event.finish_reason
        elif isinstance(event, VlmFailed):
            content['error'] = event.error
        self._add('vlm', event, **content)

    def _segment(self, state: AgentState, action: Segment, event: Event) -> None:
        if isinstance(event, SegmentFailed):
            self._add('sam3', event, text_prompt=action.phrase, scripted={'raises': event.error})
            content = None if event.stale is None else to_outputs(event.stale, self.transcript['image'])
            self._add('sam3_file', None, path='', content=content, image={'path': '', 'exists': False})
        elif isinstance(event, Segmented):
            found = event.detections
            scripted = {'image_hw': list(found.size_hw), 'instances': to_instances(found)}
            self._add('sam3', event, text_prompt=action.phrase, scripted=scripted)
            filtered = postprocess(found, state.settings.strict)
            self._found = to_outputs(filtered.detections, self.transcript['image'])
            if filtered.kept is not None:
                threshold = round(float(MAX_IOM), 6)
                self._found |= {
                    'kept_indices': filtered.kept,
                    'removed_indices': filtered.removed,
                    'iom_threshold': threshold,
                }

    def _render(self, state: AgentState, action: Render, event: Event) -> None:
        view = action.view
        if isinstance(event, RenderFailed):
            self._add('render_failed', event, error=f'{event.exception}: {event.error}')
        else:
            details = self._describe(view) if self._describe else {}
            masks = 0 if view.detections is None else len(view.detections)
            self._add('render', event, zoom_index=view.index, masks=masks, **details)
        if self._found is not None:
            image: dict[str, Any] = {'path': '', 'exists': False}
            if isinstance(event, Rendered):
                image = self._image(event.images[0], view)
            self._add('sam3_file', None, path=image['path'], content=self._found, image=image)
            self._found = None

    def _finish(self, state: AgentState, action: Finish) -> None:
        spent, settings = action.spent, state.settings
        replies = [event['reply'] for event in self._events if event['event'] == 'vlm']
        limits = settings.limits
        self.transcript |= {
            'query': state.query,
            'max_generations': limits.main_calls - 1,
            'entry': 'run_agent',
            'strict': settings.strict,
            'limits': {
                'calls': limits.calls,
                'seconds': limits.seconds,
                'tokens': limits.tokens,
                'cost': limits.cost,
                'reply_tokens': limits.reply_tokens,
                'malformed': limits.malformed,
                'repeated': limits.repeated,
                'prices': [limits.prices.prompt, limits.prices.completion],
            },
            'prompts_sha256': {
                kind: hashlib.sha256(text.encode()).hexdigest()
                for kind, text in (('main', MAIN_PROMPT), ('check', CHECKING_PROMPT))
            },
            'replies': replies,
            'replies_used': len(replies),
            'main_calls': spent.main_calls,
            'check_calls': spent.check_calls,
            'events': self._events,
            'result': self._result(action),
        }

    def _result(self, action: Finish) -> dict[str, Any]:
        if action.exception:
            return {'status': 'raised', 'exception': action.exception, 'message': action.reason}
        pixels = action.image_rgb
        return {
            'status': 'returned',
            'ended': action.ended,
            'reason': action.reason,
            'notes': list(action.notes),
            'phrase': action.phrase,
            'seconds': action.spent.seconds,
            'final_outputs': to_outputs(action.detections, self.transcript['image']),
            'history': self._messages(action.messages),
            'picture': None if pixels is None else self._image(pixels, View('masks', action.detections)),
        }

    def _messages(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        return [self._message(message) for message in messages]

    def _message(self, message: Message) -> dict[str, Any]:
        if message.role == 'system':
            return {'role': 'system', 'content': SYSTEM_TEXTS.get(message.text, message.text)}
        return {'role': message.role, 'content': [self._part(part) for part in message.parts]}

    def _part(self, part: Part) -> dict[str, Any]:
        if isinstance(part, TextPart):
            sentence = {'kind': part.kind} if part.kind else {}
            slots = {'slots': dict(part.slots)} if part.slots else {}
            return {'type': 'text', **sentence, **slots, 'text': part.text}
        if part.pixels is None:
            return {'type': 'image', 'path': '', 'exists': False}
        return {'type': 'image', **self._image(part.pixels, part.view)}

    def _image(self, pixels: Pixels, view: View) -> dict[str, Any]:
        if id(pixels) in self._images:
            return self._images[id(pixels)][1]
        height, width = pixels.shape[:2]
        name = f'{len(self._images):03d}_{view.kind}' + ('' if view.index is None else f'_{view.index + 1}')
        described = {
            'path': self._save_image(name, pixels) if self._save_image else '',
            'exists': True,
            'mode': 'RGB',
            'size_wh': [width, height],
            'rgb_sha256': hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest(),
        }
        self._images[id(pixels)] = pixels, described
        return described
