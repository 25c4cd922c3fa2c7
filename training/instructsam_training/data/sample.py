"""`Sample`: the common format of all data sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from instructsam_model.datatypes import is_unicode
from instructsam_model.masks import Rle
from instructsam_training.config.data_options import Kind as Kind
from instructsam_training.config.data_options import LevelName as LevelName

ANSWERED_KINDS: tuple[Kind, ...] = ('sentence', 'caption')
"""Kinds whose phrase is an answer, and differs from their text."""


class SampleError(ValueError):
    """One record cannot be used; the message names its file and index, what was found and what was expected."""

    def __init__(self, file: Path, index: int | str, reason: str) -> None:
        super().__init__(f'{file}[{index}]: {reason}')
        self.file = file
        self.index = index
        self.reason = reason

    def __reduce__(self) -> tuple[type[SampleError], tuple[Path, int | str, str]]:
        # By default, exceptions are pickled with their message alone; worker processes send these ones.
        return type(self), (self.file, self.index, self.reason)


@dataclass(frozen=True)
class Annotation:
    """One question about an image and its instances.

    Attributes:
        kind: kind of `text`.
        text: the name, the instruction, or the text in the image.
        phrase: text that the model generates for it: the cleaned name or the text in the image, or the short answer to
            the instruction; for a caption, the whole answer.
        masks: one COCO RLE per instance; empty if there is no instance in the image.
        box_only: the masks are filled boxes, because only boxes are annotated.
        box_xyxy: x1, y1, x2, y2 of the target in pixels, if the data set publishes a box beside the mask.
        additional_phrases: further names that the instruction asks for, answered after this one.
        level: how the text describes the target, if the data set says so, or if all its texts do so.
        concept: name of the target's category, if the data set has one beside text and phrase.

    Raises:
        ValueError: text or phrase are empty, or no valid Unicode.
    """

    kind: Kind
    text: str
    phrase: str
    masks: tuple[Rle, ...] = ()
    box_only: bool = False
    box_xyxy: tuple[float, float, float, float] | None = None
    additional_phrases: tuple[Annotation, ...] = ()
    level: LevelName | None = None
    concept: str = ''

    def __post_init__(self) -> None:
        if not self.text.strip() or not self.phrase.strip():
            raise ValueError(f'annotation: expected a text and a phrase, got {self.text!r} and {self.phrase!r}')
        if not all(map(is_unicode, (self.text, self.phrase, self.concept))):  # tokenizers would not name the record
            raise ValueError(f'annotation: expected Unicode text, got a surrogate in {self.text!r} or {self.phrase!r}')

    @property
    def parts(self) -> tuple[Annotation, ...]:
        """The annotations with a span in the answer: this one and `additional_phrases`."""
        return (self, *self.additional_phrases)


@dataclass(frozen=True)
class Sample:
    """One image with its annotations.

    Attributes:
        image: file of the image.
        size_hw: its height and width, pixels; all masks have it.
        annotations: in the order of the file.
        allow_multi_phrase: one question may ask for all its names (`"type": "instseg"` of the published format).
        depth: file of the registered depth image; None without depth.
        source: file and index of the record, for reports.
        id: of the record within its data set, unique there.
        scene: id of the scene; empty if the data set has no scenes.
        ignore: pixels that an evaluation ignores; None for no such pixels.
        errors: annotations of the record that could not be read, for reports.

    Raises:
        ValueError: a mask does not have the size of the image.
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
        # Run-length encodings have their size, so that nothing is decoded.
        masks = [rle for annotation in self.annotations for part in annotation.parts for rle in part.masks]
        for rle in masks if self.ignore is None else [*masks, self.ignore]:
            if tuple(rle['size']) != self.size_hw:
                raise ValueError(f'masks: expected the size {self.size_hw} of the image, got {tuple(rle["size"])}')


@dataclass
class SkipReport:
    """What of a data set was not used as it stands, for the log.

    Attributes:
        errors: records that could not be read; they are dropped, never replaced.
        notes: what was left out by rule, or kept in another form: its name, and how often.
        examples: the first place of each note.
    """

    errors: list[SampleError] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def skip(self, file: Path, index: int | str, reason: str) -> None:
        """Add a record that is dropped."""
        self.errors.append(SampleError(file, index, reason))

    def note(self, what: str, where: str = '', number: int = 1) -> None:
        """Count something that is no error: left out by rule, or kept in another form."""
        self.notes[what] += number
        self.examples.setdefault(what, where)

    def __len__(self) -> int:
        return len(self.errors)


def named(text: str, masks: tuple[Rle, ...] = (), *, box_only: bool = False) -> Annotation:
    """Return the annotation of a name.

    Raises:
        ValueError: nothing is left of the name once it is cleaned.
    """
    return Annotation('phrase', text, clean_phrase(text), masks, box_only)


def clean_phrase(text: str) -> str:
    """Convert a name to the form in answers: no surrounding blanks, a lower-case first letter, no final full stop."""
    text = text.strip()
    return (text[:1].lower() + text[1:]).removesuffix('.')
