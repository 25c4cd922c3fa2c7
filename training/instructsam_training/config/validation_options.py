"""Options of the validation during a stage. Imports no torch, like everything in this folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from instructsam_model.errors import ConfigError
from instructsam_model.options import Options, option

MAX_COUNT = 1_000_000_000
"""Range of numbers that have no limit of their own."""


@dataclass(frozen=True)
class ValidationConfig(Options):
    """Validation of the weights during a stage, as by `instructsam-eval`."""

    # Queries.
    benchmark: str = option('', 'Name of the benchmark, which gives the queries and the metrics.')
    data: str = option('', 'Folder or file of its data set; of the benchmark `coco`, the annotation file.')
    images: str = option('', 'Folder of the images; empty if it is part of `data`.')
    split: str = option('', "Split of the data set; empty: the benchmark's first.")
    limit: int = option(0, 'Number of queries that are used, the first ones; 0: all.', range_=(0, MAX_COUNT))
    absent: int = option(
        0, 'For coco: number of queries of each image about categories that it does not have.', range_=(0, 1000)
    )
    every: int = option(500, 'Steps between validations; the last step is validated too.', range_=(1, MAX_COUNT))
    prompt: Literal['published', 'plain', 'unchanged'] = option(
        'published', 'Wording of the instructions, see `instructsam-eval --prompt`.'
    )
    # Choice of the best weights, and end of the stage.
    metric: str = option('', "Metric by which the best weights are chosen; empty: the benchmark's first.")
    patience: int = option(
        0, 'End the stage after this many validations without an improvement; 0: never.', range_=(0, MAX_COUNT)
    )
    use_best: bool = option(True, 'End the stage with the best weights instead of the last ones.')
    # Images and errors.
    sheet_images: int = option(
        12, 'Number of queries on the sheet of images of each validation; 0: no sheet.', range_=(0, 300)
    )
    max_skipped: float = option(
        0.01, 'Largest share of queries that may be skipped; more is an error.', range_=(0.0, 1.0)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Empty is the default, so this is also the error of a missing key.
        for name in ('benchmark', 'data'):
            if not getattr(self, name).strip():
                raise ConfigError(f'{name}: expected the {name} of the validation, got an empty text')
