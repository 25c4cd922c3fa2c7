"""Conversations about samples: questions and answers.

A turn is a question with its answer, which has one span for each phrase; each span has K queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle
from instructsam_training.config.data_options import ConversationOptions
from instructsam_training.data.sample import Annotation, Sample
from instructsam_training.data.templates import ask_for_phrase, ask_for_phrases, ask_for_text

MAX_DISJOINT_IOU = 0.05
"""Names with a higher mask IoU are not asked for in one question."""


@dataclass(frozen=True)
class Span:
    """One phrase of an answer with its instances.

    Attributes:
        phrase: as the model generates it.
        masks: one per instance; empty if there is no instance.
        box_only: the masks are filled boxes.
    """

    phrase: str
    masks: tuple[Rle, ...] = ()
    box_only: bool = False


@dataclass(frozen=True)
class Turn:
    """A question and its answer: spans, or text without masks."""

    question: str
    spans: tuple[Span, ...] = ()
    text: str = ''


def build_conversation(sample: Sample, rng: Random, options: ConversationOptions) -> tuple[Turn, ...]:
    """Ask about the annotations of a sample in random order and wording, within the limits of `options`."""
    # 1. Choose annotations in random order; the stable sort moves only those with `first_phrases` to the front.
    annotations = [annotation for annotation in sample.annotations if _is_selected(annotation, options)]
    rng.shuffle(annotations)
    annotations.sort(key=lambda annotation: annotation.phrase not in options.first_phrases)
    annotations = _within_limits(annotations, options)
    # 2. With `multi_phrase_probability`, ask for all names in one question.
    names = [annotation for annotation in annotations if annotation.kind == 'phrase']
    if sample.allow_multi_phrase and len(names) > 1 and rng.random() < options.multi_phrase_probability:
        return (_ask_together(names, rng),)
    # 3. Otherwise ask one question for each annotation, except for a pair that shares one.
    pair = _disjoint_pair(annotations) if options.merge_pairs else None
    if pair is None:
        return tuple(_ask(annotation, rng) for annotation in annotations)
    first, partner = pair
    return tuple(
        _ask_together((first, partner), rng) if annotation is first else _ask(annotation, rng)
        for annotation in annotations
        if annotation is not partner
    )


def _is_selected(annotation: Annotation, options: ConversationOptions) -> bool:
    if options.drop_above and any(len(part.masks) > options.drop_above for part in annotation.parts):
        return False
    return annotation.kind in options.kinds and (not options.phrases or annotation.phrase in options.phrases)


def _within_limits(annotations: Sequence[Annotation], options: ConversationOptions) -> list[Annotation]:
    """Return the first annotations up to the limits, at least one."""
    kept: list[Annotation] = []
    phrases = instances = 0
    for annotation in annotations:
        phrases += len(annotation.parts)
        instances += sum(len(part.masks) for part in annotation.parts)
        # A conversation is not empty, even if its first annotation is above a limit.
        if kept and (phrases > options.max_phrases or instances > options.max_instances):
            break
        kept.append(annotation)
    return kept


def _ask(annotation: Annotation, rng: Random) -> Turn:
    if annotation.kind == 'caption':
        return Turn(annotation.text, text=annotation.phrase)
    # Instructions are questions already; names and text in the image get one from a template.
    question = annotation.text
    if annotation.kind == 'phrase':
        question = ask_for_phrase(annotation.phrase, rng)
    elif annotation.kind == 'OCR':
        question = ask_for_text(annotation.phrase, rng)
    return Turn(question, tuple(map(_span, annotation.parts)))


def _ask_together(annotations: Sequence[Annotation], rng: Random) -> Turn:
    question = ask_for_phrases([annotation.phrase for annotation in annotations], rng)
    return Turn(question, tuple(_span(annotation) for annotation in annotations))


def _span(annotation: Annotation) -> Span:
    return Span(annotation.phrase, annotation.masks, annotation.box_only)


def _disjoint_pair(annotations: Sequence[Annotation]) -> tuple[Annotation, Annotation] | None:
    """Return the last name and the first name that does not overlap it; None if there is no such pair."""
    names = [annotation for annotation in annotations if annotation.kind == 'phrase' and annotation.masks]
    # With only two annotations, the merged question would be the whole conversation.
    if len(annotations) < 3 or len(names) < 2:
        return None
    partner = names[-1]
    for name in names[:-1]:
        if name.phrase != partner.phrase and _union_iou(name, partner) < MAX_DISJOINT_IOU:
            return name, partner
    return None


def _union_iou(one: Annotation, other: Annotation) -> float:
    merged = [coco_mask.merge(list(annotation.masks)) for annotation in (one, other)]
    return float(coco_mask.iou([merged[0]], [merged[1]], [0])[0, 0])
