"""The words in which names and instructions are put to the model.

Those of the public evaluation are quoted to the letter: the published checkpoint knows them. It has none for RefCOCO
and GSEval, which are asked as gRefCOCO is.
"""

from __future__ import annotations

from instructsam_training.data.sample import Kind
from instructsam_training.data.templates import PHRASE_QUESTIONS

REQUEST = 'Please output the segmentation mask.'


def plain(kind: Kind, text: str) -> str:
    """As in training: instructions as they are, names in the first of the training's questions."""
    return text if kind == 'sentence' else PHRASE_QUESTIONS[0].format(text)


def with_request(kind: Kind, text: str) -> str:
    """The public evaluation of Inst2Seg and RoboRefIt, and of ReasonSeg's long questions."""
    return text if REQUEST in text else f'{text} {REQUEST}'


def can_you_segment(kind: Kind, text: str) -> str:
    """The public evaluation of gRefCOCO."""
    return f"Can you segment '{text}' in the image?"


def reasonseg(kind: Kind, text: str) -> str:
    """The public evaluation of ReasonSeg: short questions are names."""
    if kind == 'sentence':
        return with_request(kind, text)
    return f"Please segment the '{text[:1].lower()}{text[1:]}' in the image."
