"""Options of the training data. Imports no torch, like everything in this folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from instructsam_model.errors import ConfigError
from instructsam_model.options import Options, group, option

Kind = Literal['phrase', 'sentence', 'OCR', 'caption']
"""Kind of an annotation's text: the name of the target, an instruction about it, the text written on it, or a question
with a text answer and no masks."""
LevelName = Literal['concept', 'simple', 'complex']
"""How a text describes its target: by a noun phrase, naming it with attributes or places, or without naming it
(SAM3-I)."""


@dataclass(frozen=True)
class ConversationOptions(Options):
    """Options of building conversations from samples."""

    # Size of a conversation.
    max_phrases: int = option(10, 'Maximum number of phrases in a conversation.', range_=(1, 1000))
    max_instances: int = option(100, 'Maximum number of instances of these phrases.', range_=(1, 100_000))
    drop_above: int = option(
        0,
        'Leave out annotations with more instances than this; the public code does so above 10, its number of queries. '
        '0: none is left out, and K of the instances are matched.',
        range_=(0, 100_000),
    )
    # Form of the questions.
    multi_phrase_probability: float = option(
        0.5, 'Probability of asking for all names in one question, for samples that allow it.', range_=(0.0, 1.0)
    )
    merge_pairs: bool = option(True, 'In each conversation, ask one question for two names whose masks do not overlap.')
    independent: bool = option(
        False, 'The questions about an image do not attend to each other, as if each was the only one.'
    )
    # Choice of the annotations.
    kinds: tuple[Kind, ...] = option(get_args(Kind), 'Kinds of annotations to ask about.')
    phrases: tuple[str, ...] = option((), 'Ask only about annotations with these phrases; empty: about all.')
    first_phrases: tuple[str, ...] = option((), 'Annotations with these phrases come first in every conversation.')

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kinds:
            raise ConfigError(f'kinds: expected some of {", ".join(get_args(Kind))}, got {list(self.kinds)}')


@dataclass(frozen=True)
class DataConfig(Options):
    """Training data of a stage."""

    # Files.
    mixture: str = option('', 'Mixture file, `name [repeat] [parts=N]` on each line.', affects_results=False)
    files: tuple[str, ...] = option((), 'Names of data sets, used if there is no mixture file.')
    folder: str = option('.', 'Folder of the data sets, in the published format.', affects_results=False)
    images: str = option(
        '', 'Folder that the file names of images are relative to; `folder` when empty.', affects_results=False
    )
    held_out: str = option(
        '',
        'Folder of evaluation sets, as released, whose images are left out of the training (docs/datasets.md); empty: '
        'none are left out.',
    )
    # Reading and encoding.
    workers: int = option(2, 'Data-loader processes of each training process.', range_=(0, 256), affects_results=False)
    max_pixels: int = option(
        8_388_608,
        "Larger images are downsampled to this size for the language model; 0: the checkpoint's limit.",
        range_=(0, 2**28),
    )
    mask_targets: Literal['coverage', 'nearest'] = option(
        'coverage',
        'Value of a cell of the mask grid: the share of it that the object covers (`coverage`), or the mask at its '
        'corner (`nearest`, the public code, which shifts every mask by half a cell).',
    )
    group_by_length: bool = option(False, 'Put conversations of similar length into one micro-batch.')
    conversation: ConversationOptions = group(ConversationOptions, 'Options of building conversations from samples.')
    # What is an error, and what is accepted.
    max_unreadable: float = option(
        0.01,
        'Largest share of samples or annotations that cannot be read; a larger one stops the run.',
        range_=(0.0, 1.0),
    )
    allow_resized: bool = option(
        False, 'Accept image files of another size than their record says, if the aspect ratio is the same.'
    )
    mask_orientation: Literal['auto', 'displayed', 'stored'] = option(
        'auto',
        'Pixels that masks are annotated on, of images with an EXIF orientation: as the image is displayed, as it is '
        'stored, or whichever of the two has the size of the record (`auto`), which must not be both.',
    )
    # Check before the first step.
    check_samples: int = option(
        512, 'Samples that are read before the first step to check the data; 0: all of them.', range_=(0, 1_000_000_000)
    )
    check_seconds: float = option(
        60.0, 'The check before a run ends after this time, with the samples that it has read.', range_=(1.0, 604_800.0)
    )
