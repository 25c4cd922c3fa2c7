"""Kinds of faults of training data, by the messages of the readers."""

from __future__ import annotations

import re

# Of the image and the conversation, then of masks and boxes, then of text and the record.
FAULTS = (
    ('image missing', r'expected an image, found no'),
    ('image damaged', r'expected an image, cannot read'),
    ('pixel format', r'expected 8 bits per channel'),
    ('orientation unknown', r'does not tell whether the masks'),
    ('image of another size', r'the size in its record'),
    ('aspect ratio', r'aspect ratio must be'),
    ('conversation too long', r'expected a conversation of at most'),
    ('mask of another size', r'RLE size: expected the size of the image|masks: expected the size'),
    ('mask empty', r'mask: expected at least one pixel'),
    ('mask damaged', r'RLE|polygon|expected an RLE|three points'),
    ('box wrong', r'box: expected'),
    ('text missing', r'expected text in (?!image)|expected a text and a phrase|Unicode'),
    # Matches everything: what no other pattern names.
    ('record damaged', r''),
)
"""Name of each kind, and a pattern of its messages; the first that matches counts."""


def kind_of(message: str) -> str:
    """Return the kind of fault that a message describes."""
    return next(name for name, pattern in FAULTS if re.search(pattern, message))
