"""`TEMPLATES`: sentences with a slot for a wording, "Could you hand me {it}?", for the training and test splits."""

from __future__ import annotations

from typing import Literal

Split = Literal['train', 'test']

TEST_TEMPLATES = (
    'I need {it}.',
    'Hand me {it}.',
    'Please take {it}.',
    'Could you point at {it}?',
    'Which pixels show {it}?',
    'Bring me {it}.',
)
COMMANDS = (
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
COMMAND_SENTENCES = (
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
WISH_SENTENCES = (
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
QUESTION_SENTENCES = (
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


def train_templates() -> tuple[str, ...]:
    """Return all templates of training; with only a few dozen, a small model memorizes them and fails on others."""
    commands = (sentence.replace('{order}', command) for sentence in COMMAND_SENTENCES for command in COMMANDS)
    wishes = (f'{wish}{end}' for wish in WISH_SENTENCES for end in ('.', ', please.', ' now.'))
    templates = (text[0].upper() + text[1:] for text in (*commands, *wishes, *QUESTION_SENTENCES))
    return tuple(text for text in templates if text not in TEST_TEMPLATES)


TEMPLATES: dict[Split, tuple[str, ...]] = {'train': train_templates(), 'test': TEST_TEMPLATES}
