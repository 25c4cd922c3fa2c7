"""`Benchmark`: the queries, prompt, metrics and published numbers of one benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.file_kind import FileKind, check_kind, describe_folder, identify
from instructsam_training.evaluation.prompts import as_in_training, unchanged
from instructsam_training.evaluation.published import PublishedResult
from instructsam_training.evaluation.query import Prompt, Query
from instructsam_training.evaluation.sam3i.public_numbers import PublicEvaluation
from instructsam_training.evaluation.scoring import IouRule
from instructsam_training.evaluation.upright import upright_queries

Scoring = Literal['authors', 'released']
"""`authors`: the metrics as the benchmark's authors define them; `released`: as the released evaluation code computes
them, that of InstructSAM, or of GroundingSuite for GSEval."""
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)

INSTANCE_METRICS = ('mAP', 'gIoU', 'cIoU', 'AP50', 'AP75')
EMPTY_IS_WRONG = IouRule(empty=0.0)
"""For benchmarks whose queries all have a target."""
RELEASED_RULE = IouRule(empty=0.0, epsilon=1e-12)
"""The public evaluation of ReasonSeg and RoboRefIt, which does not expect a query without a target."""


class ReadQueries(Protocol):
    """Reads the queries of one split of a benchmark."""

    def __call__(self, root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
        """Yield the queries of the split.

        Args:
            root: folder of the data set, or the file itself.
            split: one of the benchmark's splits.
            report: gets the records that cannot be read.
            images: folder of the images, if it is not part of `root`.

        Raises:
            ConfigError: the data set cannot be used.
        """
        ...


class ReadAbsent(Protocol):
    """Reads the queries as `ReadQueries`, with some about categories that an image does not have."""

    def __call__(
        self, root: Path, split: str, report: SkipReport, images: Path | None, *, absent: int
    ) -> Iterator[Query]:
        """Yield the queries of the split, `absent` of each image without a target."""
        ...


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: as on the command line.
        read: reads its queries.
        splits: of its data set; the first is the default.
        prompt: wording of the public evaluation.
        metrics: names of `metrics.METRICS`, the most important first.
        min_score: predictions with this score or a lower one are dropped.
        rule: how its authors compute the IoU of a query.
        released_rule: how the released evaluation code computes it, if that differs.
        group_by: what `Query.group` is; empty if there are no groups.
        by_target_count: also report by number of targets.
        has_instances: its targets are instances, so that COCO's average precision is meaningful.
        released_drops_empty: the released evaluation code skips queries with an empty prediction, which raises its
            numbers.
        published: numbers of published methods, by split.
        files: names that the file of the queries may have in the folder of the data set; `{split}` is the split. A
            release without such a file has another reader.
        kinds: kinds of this file.
        read_absent: reads the queries with some about absent categories; None if the data does not say what is absent.
        public: how the public scripts score prediction records (SAM3-I), whose numbers are reported beside the metrics.
        backend_options: by split, options of back ends that its texts need, such as their level; those of the command
            line override them.
    """

    name: str
    read: ReadQueries
    splits: tuple[str, ...]
    prompt: Prompt
    metrics: tuple[str, ...]
    min_score: float = 0.3
    rule: IouRule = field(default_factory=IouRule)
    released_rule: IouRule | None = None
    group_by: str = ''
    by_target_count: bool = False
    has_instances: bool = False
    released_drops_empty: bool = False
    published: Mapping[str, tuple[PublishedResult, ...]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    kinds: tuple[FileKind, ...] = ()
    read_absent: ReadAbsent | None = None
    public: PublicEvaluation | None = None
    backend_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def iou_rule(self, scoring: Scoring) -> IouRule:
        """Return the IoU rule of a scoring."""
        return self.released_rule if scoring == 'released' and self.released_rule else self.rule

    def prompt_of(self, name: str) -> Prompt:
        """Return the wording `published`, `plain` or `unchanged` of the instructions."""
        return {'published': self.prompt, 'plain': as_in_training, 'unchanged': unchanged}[name]

    def load_queries(
        self, root: Path, split: str, report: SkipReport, images: Path | None = None, absent: int = 0
    ) -> list[Query]:
        """Load the queries of a split; of queries with one id, the first counts.

        Args:
            root: see `ReadQueries`, like the next three.
            split: of the data set.
            report: gets the records that cannot be read.
            images: folder of the images.
            absent: number of queries about absent categories for each image.

        Raises:
            ConfigError: the split is unknown, the data set cannot be used or is of another kind, or none of its
                records can be read.
        """
        if split not in self.splits:
            raise ConfigError(f'split: expected one of {", ".join(self.splits)} of {self.name}, got {split!r}')
        read = self._reader(absent)
        self._check_file(root, split)
        queries = upright_queries(self._read_unique(read, root, split, report, images), report)
        if not queries:
            reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
            raise ConfigError(f'{root}: expected queries of {self.name} {split}, found none{reason}')
        return queries

    def _reader(self, absent: int) -> ReadQueries:
        if not absent:
            return self.read
        if self.read_absent is None:
            raise ConfigError(
                f'absent: expected 0 for {self.name}, whose data does not say what is absent, got {absent}'
            )
        return partial(self.read_absent, absent=absent)

    def _check_file(self, root: Path, split: str) -> None:
        """Check the kind and the name of the file of the queries, if there is one."""
        candidates = [root] if root.is_file() else [root / name.format(split=split) for name in self.files]
        file = next((file for file in candidates if file.is_file()), None)
        if file is None or self.read_absent is not None:  # a reader of any file checks it itself
            return
        if not self.kinds:
            kind = identify(file)
            found = f'{kind.description}; {kind.advice.format(file=file)}' if kind else 'a file'
            raise ConfigError(f'{file}: expected the folder of {self.name}, got {found}')
        check_kind(file, self.kinds)
        named = {*re.split(r'[^A-Za-z0-9]+', file.stem)}
        others = [other for other in self.splits if other in named and split not in named]
        if others:
            raise ConfigError(f'{file}: expected the split {split}, its name says {others[0]}; use --split {others[0]}')

    def _read_unique(
        self, read: ReadQueries, root: Path, split: str, report: SkipReport, images: Path | None
    ) -> list[Query]:
        unique: dict[str, Query] = {}
        try:
            for query in read(root, split, report, images):
                unique.setdefault(query.id, query)
        except ConfigError as error:
            # The folder may be that of another data set, of a training, or of an evaluation.
            found = describe_folder(root)
            raise ConfigError(f'{error}; {found}' if found else str(error)) from None
        return list(unique.values())
