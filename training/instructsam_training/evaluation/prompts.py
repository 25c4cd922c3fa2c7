"""Prompts that several benchmarks share.

Those of the public evaluation are quoted to the letter, because the published checkpoint was trained on them. It has
none for RefCOCO and GSEval, which get the prompt of gRefCOCO.
"""

from __future__ import annotations

from instructsam_training.data.sample import Kind
from instructsam_training.data.templates import PHRASE_QUESTIONS

MASK_REQUEST = 'Please output the segmentation mask.'


def as_in_training(kind: Kind, text: str) -> str:
    """Return instructions unchanged, and names in the first template of the training."""
    return text if kind == 'sentence' else PHRASE_QUESTIONS[0].format(text)


def with_mask_request(kind: Kind, text: str) -> str:
    """Return the prompt of Inst2Seg, RoboRefIt and ReasonSeg's long queries."""
    return text if MASK_REQUEST in text else f'{text} {MASK_REQUEST}'


def can_you_segment(kind: Kind, text: str) -> str:
    """Return the prompt of gRefCOCO."""
    return f"Can you segment '{text}' in the image?"
