"""`Sample`: what every data set is turned into, and all that anything after the readers knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from instructsam_model.masks import Rle
from instructsam_training.config.data_options import Kind as Kind

ANSWERED: tuple[Kind, ...] = ('sentence', 'caption')
"""Those whose phrase is not their text."""


class SampleError(ValueError):
    """One record cannot be used; the message names its file and index, what was found and what was expected."""

    def __init__(self, file: Path, index: int | str, reason: str) -> None:
        super().__init__(f'{file}[{index}]: {reason}')
        self.file = file
        self.index = index
        self.reason = reason

    def __reduce__(self) -> tuple[type[SampleError], tuple[Path, int | str, str]]:
        # Exceptions are pickled with the message alone; worker processes send these whole.
        return type(self), (self.file, self.index, self.reason)


@dataclass(frozen=True)
class Annotation:
    """One question about a picture and what answers it.

    Attributes:
        kind: what `text` is.
        text: the name, the instruction, or the writing.
        phrase: what the model writes for it: the cleaned name or writing, or the short answer to the instruction; of a
            caption, the whole answer.
        masks: one COCO RLE per instance; empty when nothing in the picture answers.
        box_only: the masks are filled boxes: only their extent is known.
        box_xyxy: x1, y1, x2, y2 of the target in pixels, of data sets that publish a box beside the mask.
        additional_phrases: further names that the instruction asks for, answered after this one.

    Raises:
        ValueError: text or phrase are empty.
    """

    kind: Kind
    text: str
    phrase: str
    masks: tuple[Rle, ...] = ()
    box_only: bool = False
    box_xyxy: tuple[float, float, float, float] | None = None
    additional_phrases: tuple[Annotation, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip() or not self.phrase.strip():
            raise ValueError(f'annotation: expected a text and a phrase, got {self.text!r} and {self.phrase!r}')

    @property
    def parts(self) -> tuple[Annotation, ...]:
        """What the answer has a span for: this and `additional_phrases`."""
        return (self, *self.additional_phrases)


@dataclass(frozen=True)
class Sample:
    """One picture with its annotations.

    Attributes:
        image: file of the picture.
        size_hw: its height and width, pixels; all masks have it.
        annotations: in the order of the file.
        allow_multi_phrase: one question may ask for all its phrases (`"type": "instseg"` of the published format).
        depth: file of the depth image registered to it, if there is one.
        source: file and index of the record, for reports.
        id: of the record within its data set, unique there.
        scene: of data sets that have scenes; empty otherwise.
        ignore: pixels that count for nothing in an evaluation, of data sets that have such.
        errors: annotations of the record that could not be read, for reports.

    Raises:
        ValueError: a mask is not of the picture's size.
    """

    image: Path
    size_hw: tuple[int, int]
    annotations: tuple[Annotation, ...]
    allow_multi_phrase: bool = False
    depth: Path | None = None
    source: str = ''
    id: str = ''
    scene: str = ''
    ignore: Rle | None = None
    errors: tuple[SampleError, ...] = ()

    def __post_init__(self) -> None:
        masks = [rle for annotation in self.annotations for part in annotation.parts for rle in part.masks]
        for rle in masks if self.ignore is None else [*masks, self.ignore]:
            if tuple(rle['size']) != self.size_hw:
                raise ValueError(f'masks: expected the size {self.size_hw} of the picture, got {tuple(rle["size"])}')


@dataclass
class SkipReport:
    """What could not be read: counted, kept for the log, never replaced by something else."""

    errors: list[SampleError] = field(default_factory=list)

    def skip(self, file: Path, index: int | str, reason: str) -> None:
        """Note one record that is left out."""
        self.errors.append(SampleError(file, index, reason))

    def __len__(self) -> int:
        return len(self.errors)


def named(text: str, masks: tuple[Rle, ...] = (), *, box_only: bool = False) -> Annotation:
    """The annotation of what a name stands for.

    Raises:
        ValueError: nothing is left of the name once it is cleaned.
    """
    return Annotation('phrase', text, clean_phrase(text), masks, box_only)


def clean_phrase(text: str) -> str:
    """A name as an answer has it: no blanks around it, first letter small, without one final full stop."""
    text = text.strip()
    return (text[:1].lower() + text[1:]).removesuffix('.')
