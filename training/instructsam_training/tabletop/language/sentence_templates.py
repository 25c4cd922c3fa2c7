"""`FRAMES`: the sentences that wordings are put into, "Could you hand me {it}?", of training and of tests."""

from __future__ import annotations

from typing import Literal

Split = Literal['train', 'test']

TEST = (
    'I need {it}.',
    'Hand me {it}.',
    'Please take {it}.',
    'Could you point at {it}?',
    'Which pixels show {it}?',
    'Bring me {it}.',
)
ORDERS = (
    'segment {it}',
    'mark {it}',
    'find {it}',
    'show me {it}',
    'point at {it}',
    'take {it}',
    'get {it}',
    'pick up {it}',
    'pick {it} up',
    'pick out {it}',
    'bring me {it}',
    'bring {it} to me',
    'hand me {it}',
    'hand {it} over',
    'give me {it}',
    'look for {it}',
    'put a mask on {it}',
    'point {it} out to me',
    'mark the pixels of {it}',
    'go and get {it}',
)
REQUESTS = (
    '{order}.',
    'please {order}.',
    'now {order}.',
    '{order}, please.',
    '{order} now.',
    'could you {order}?',
    'can you {order}?',
    'could you please {order}?',
    'I need you to {order}.',
    'I want you to {order}.',
    'look at the picture and {order}.',
)
WISHES = (
    'I want {it}',
    'I would like {it}',
    'I would like to have {it}',
    'I need to have {it}',
    'I need to see {it}',
    'I want to see {it}',
    'I am looking for {it}',
    'let me see {it}',
    'let me have {it}',
    'I want a mask of {it}',
    'I have to find {it}',
)
QUESTIONS = (
    'Where {is} {it}?',
    'Where can I find {it}?',
    'Where can I see {it}?',
    'Where in the picture {is} {it}?',
    'Where on the table {is} {it}?',
    'Can you see {it}?',
    'Can you find {it} in the picture?',
    'Do you see {it}?',
    'Which pixels are {it}?',
    'Which pixels are those of {it}?',
    'What pixels show {it}?',
    'Which part of the picture shows {it}?',
    'In which part of the picture {is} {it}?',
    'What part of the picture {is} {it}?',
)


def train_frames() -> tuple[str, ...]:
    """All sentences of training: a model that knows a few dozen learns them by heart, and stumbles over others."""
    orders = (request.replace('{order}', order) for request in REQUESTS for order in ORDERS)
    wishes = (f'{wish}{end}' for wish in WISHES for end in ('.', ', please.', ' now.'))
    frames = (frame[0].upper() + frame[1:] for frame in (*orders, *wishes, *QUESTIONS))
    return tuple(frame for frame in frames if frame not in TEST)


FRAMES: dict[Split, tuple[str, ...]] = {'train': train_frames(), 'test': TEST}
