"""Options of the validation during a stage. Imports no torch, like everything in this folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from instructsam_model.errors import ConfigError


@dataclass(frozen=True)
class ValidationConfig:
    """Validation of the weights during a stage, as by `instructsam-eval`.

    Attributes:
        benchmark: name of the benchmark, which gives the queries and the metrics.
        data: folder or file of its data set; of `coco`, the annotation file.
        images: folder of the images; empty if it is part of `data`.
        split: of the data set; empty: the benchmark's first.
        limit: use only the first queries, this many; 0: all.
        every: steps between validations; the last step is validated too.
        prompt: wording of the instructions, see `instructsam-eval --prompt`.
        metric: by which the best weights are chosen; empty: the benchmark's first.
        patience: end the stage after this many validations without an improvement; 0: never.
        use_best: end the stage with the best weights instead of the last ones.
        sheet_images: number of queries on the sheet of images of each validation; 0: no sheet.
        max_skipped: largest share of queries that may be skipped; more is an error.
    """

    benchmark: str
    data: str
    images: str = ''
    split: str = ''
    limit: int = 0
    every: int = 500
    prompt: Literal['published', 'plain', 'unchanged'] = 'published'
    metric: str = ''
    patience: int = 0
    use_best: bool = True
    sheet_images: int = 12
    max_skipped: float = 0.01

    def __post_init__(self) -> None:
        for name, smallest in (('limit', 0), ('every', 1), ('patience', 0), ('sheet_images', 0)):
            if getattr(self, name) < smallest:
                raise ConfigError(f'validation.{name}: expected at least {smallest}, got {getattr(self, name)}')
        if not 0 <= self.max_skipped <= 1:
            raise ConfigError(f'validation.max_skipped: expected a number of 0 to 1, got {self.max_skipped}')
