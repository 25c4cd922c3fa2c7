"""Options of the training data. Imports no torch, like everything in this folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from instructsam_model.errors import ConfigError

Kind = Literal['phrase', 'sentence', 'OCR', 'caption']
"""Kind of an annotation's text: the name of the target, an instruction about it, the text written on it, or a question
with a text answer and no masks."""


@dataclass(frozen=True)
class ConversationOptions:
    """Options of building conversations from samples.

    Attributes:
        max_phrases: maximum number of phrases in a conversation.
        max_instances: maximum number of instances of these phrases.
        multi_phrase_probability: probability of asking for all names in one question, for samples that allow it.
        merge_pairs: in each conversation, ask one question for two names whose masks do not overlap.
        independent: the questions about an image do not attend to each other, as if each was the only one.
        kinds: kinds of annotations to ask about.
        phrases: ask only about annotations with these phrases; empty: about all.
        first_phrases: annotations with these phrases come first in every conversation.
    """

    max_phrases: int = 10
    max_instances: int = 100
    multi_phrase_probability: float = 0.5
    merge_pairs: bool = True
    independent: bool = False
    kinds: tuple[Kind, ...] = get_args(Kind)
    phrases: tuple[str, ...] = ()
    first_phrases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted({*self.kinds} - {*get_args(Kind)})
        if unknown or not self.kinds:
            raise ConfigError(f'kinds: expected some of {", ".join(get_args(Kind))}, got {list(self.kinds)}')


@dataclass(frozen=True)
class DataConfig:
    """Training data of a stage.

    Attributes:
        mixture: mixture file, `name [repeat]` on each line.
        files: names of data sets, used if there is no mixture file.
        folder: of the data sets, in the published format.
        images: folder that the file names of images are relative to; `folder` when empty.
        workers: data-loader processes of each training process.
        max_pixels: larger images are downsampled to this size for the language model; 0: the checkpoint's limit.
        mask_targets: value of a cell of the mask grid: the share of it that the object covers (`coverage`), or the mask
            at its corner (`nearest`, the public code, which shifts every mask by half a cell).
        group_by_length: put conversations of similar length into one micro-batch.
        conversation: options of building conversations from samples.
        max_unreadable: largest share of samples that cannot be read, 0 to 1; a larger one stops the run.
        allow_resized: accept image files of another size than their record says, if the aspect ratio is the same.
        mask_orientation: pixels that masks are annotated on, of images with an EXIF orientation: as the image is
            displayed, as it is stored, or whichever of the two has the size of the record (`auto`), which is an error
            for images whose size is the same in both.
        check_samples: samples that are read before the first step to check the data; 0: all of them.
        check_seconds: the check ends after this time, with the samples that it has read.
    """

    mixture: str = ''
    files: tuple[str, ...] = ()
    folder: str = '.'
    images: str = ''
    workers: int = 2
    max_pixels: int = 8_388_608
    mask_targets: Literal['coverage', 'nearest'] = 'coverage'
    group_by_length: bool = False
    conversation: ConversationOptions = field(default_factory=ConversationOptions)
    max_unreadable: float = 0.01
    allow_resized: bool = False
    mask_orientation: Literal['auto', 'displayed', 'stored'] = 'auto'
    check_samples: int = 512
    check_seconds: float = 60.0
