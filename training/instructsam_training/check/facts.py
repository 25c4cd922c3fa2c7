"""What is found out about one sample, by reading it exactly as the training does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pycocotools import mask as coco_mask

from instructsam_model.errors import FrameError
from instructsam_training.data.batch import ExampleBuilder
from instructsam_training.data.encode import IGNORED
from instructsam_training.data.sample import Annotation, Kind, Sample, SampleError
from instructsam_training.data.sampler import Samples

Form = Literal['mask', 'box', 'no target', 'text']
FULL_MASK_SHARE = 0.98
"""Share of the image above which a mask counts as full: it may be inverted."""


@dataclass(frozen=True)
class AnnotationFacts:
    """One annotation of a sample.

    Attributes:
        kind: kind of its text.
        form: what is annotated beside the text.
        instances: number of masks or boxes.
    """

    kind: Kind
    form: Form
    instances: int = 0


@dataclass(frozen=True)
class SampleFacts:
    """One sample of the training data.

    Attributes:
        source: file and index of its record.
        error: why it cannot be used; empty if it can.
        annotation_errors: of annotations that are dropped from it.
        annotations: those that can be used, each additional phrase as one of its own.
        size_hw: height and width in its record; None if it cannot be used.
        tokens: length of one conversation about it.
        trained_tokens: number of those that the language model learns to generate.
        phrases: number of phrases in this conversation.
        tiny_masks: number of masks that cover less than half a cell of the mask grid.
        full_masks: number of masks that cover more than `FULL_MASK_SHARE` of the image.
        repeated: annotations that are copies of another one, text and masks alike.
        digest: of image and annotations, to find copies of the record.
    """

    source: str
    error: str = ''
    annotation_errors: tuple[str, ...] = ()
    annotations: tuple[AnnotationFacts, ...] = ()
    size_hw: tuple[int, int] | None = None
    tokens: int = 0
    trained_tokens: int = 0
    phrases: int = 0
    tiny_masks: int = 0
    full_masks: int = 0
    repeated: int = 0
    digest: str = ''


def inspect(samples: Samples, builder: ExampleBuilder, index: int, seed: str) -> SampleFacts:
    """Read a sample and one conversation about it; `seed` selects the conversation."""
    # 1. The record: nothing is known of a sample whose record cannot be used.
    try:
        sample = samples[index]
    except SampleError as error:
        return SampleFacts(f'{error.file}[{error.index}]', str(error))
    errors = tuple(str(error) for error in sample.errors)
    # 2. The image and a conversation, read and encoded as for a training step.
    try:
        example = builder.build(sample, seed)
    except FrameError as error:
        return SampleFacts(sample.source, f'{sample.source}: {error}', errors)
    # 3. Areas in pixels of the image; a cell of the mask grid h x w covers H W / (h w) of them.
    areas = _mask_areas(sample)
    pixels = sample.size_hw[0] * sample.size_hw[1]
    cell = pixels / (example.grid[0] * example.grid[1])
    return SampleFacts(
        source=sample.source,
        annotation_errors=errors,
        annotations=tuple(_describe(part) for annotation in sample.annotations for part in annotation.parts),
        size_hw=sample.size_hw,
        tokens=len(example.encoding.input_ids),
        trained_tokens=sum(label != IGNORED for label in example.encoding.labels),
        phrases=len(example.targets),
        tiny_masks=sum(area < cell / 2 for area in areas),
        full_masks=sum(area > FULL_MASK_SHARE * pixels for area in areas),
        # Masks are dictionaries, which no set takes; their text identifies them as well.
        repeated=len(sample.annotations) - len(set(map(repr, sample.annotations))),
        # Of the file name of the image, not of its pixels: copies of an image may have other annotations.
        digest=hashlib.sha256(repr((sample.image, sample.annotations)).encode()).hexdigest(),
    )


def _describe(part: Annotation) -> AnnotationFacts:
    """Return what is annotated."""
    if part.kind == 'caption':
        return AnnotationFacts(part.kind, 'text')
    # An annotation without masks says that the image has no such object.
    form: Form = ('box' if part.box_only else 'mask') if part.masks else 'no target'
    return AnnotationFacts(part.kind, form, len(part.masks))


def _mask_areas(sample: Sample) -> Sequence[int]:
    """Return the number of pixels of each mask of a sample; boxes, which may have any size, are left out."""
    # Run-length encodings are counted without being decoded.
    parts = [part for annotation in sample.annotations for part in annotation.parts if not part.box_only]
    return [int(coco_mask.area(rle)) for part in parts for rle in part.masks]
