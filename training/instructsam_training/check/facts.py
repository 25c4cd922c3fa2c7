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
NEARLY_ALL = 0.98
"""Share of the image above which a mask is suspicious: it may be inverted."""


@dataclass(frozen=True)
class Asked:
    """One phrase or text of a sample.

    Attributes:
        kind: of the annotation.
        form: what is annotated.
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
        asked: its phrases and texts.
        size_hw: height and width in its record; None if it cannot be used.
        tokens: length of one conversation about it.
        trained_tokens: those that the language model learns to generate.
        phrases: phrases of this conversation.
        tiny_masks: masks that cover less than half a cell of the mask grid.
        full_masks: masks that cover nearly the whole image.
        repeated: annotations with the phrase and the masks of another one.
        digest: of image and annotations, to find copies of the record.
    """

    source: str
    error: str = ''
    annotation_errors: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
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
    try:
        sample = samples[index]
    except SampleError as error:
        return SampleFacts(f'{error.file}[{error.index}]', str(error))
    errors = tuple(str(error) for error in sample.errors)
    try:
        example = builder.build(sample, seed)
    except FrameError as error:
        return SampleFacts(sample.source, f'{sample.source}: {error}', errors)
    areas = _mask_areas(sample)
    pixels = sample.size_hw[0] * sample.size_hw[1]
    cell = pixels / (example.grid[0] * example.grid[1])
    return SampleFacts(
        source=sample.source,
        annotation_errors=errors,
        asked=tuple(_asked(part) for annotation in sample.annotations for part in annotation.parts),
        size_hw=sample.size_hw,
        tokens=len(example.encoding.input_ids),
        trained_tokens=sum(label != IGNORED for label in example.encoding.labels),
        phrases=len(example.targets),
        tiny_masks=sum(area < cell / 2 for area in areas),
        full_masks=sum(area > NEARLY_ALL * pixels for area in areas),
        repeated=len(sample.annotations) - len(set(map(repr, sample.annotations))),
        digest=hashlib.sha256(repr((sample.image, sample.annotations)).encode()).hexdigest(),
    )


def _asked(part: Annotation) -> Asked:
    if part.kind == 'caption':
        return Asked(part.kind, 'text')
    form: Form = ('box' if part.box_only else 'mask') if part.masks else 'no target'
    return Asked(part.kind, form, len(part.masks))


def _mask_areas(sample: Sample) -> Sequence[int]:
    """Pixels of the masks of a sample; boxes may have any size."""
    parts = [part for annotation in sample.annotations for part in annotation.parts if not part.box_only]
    return [int(coco_mask.area(rle)) for part in parts for rle in part.masks]
