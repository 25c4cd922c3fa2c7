"""`Benchmark`: what is asked, in which words, and what is computed of the answers; and all that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation import prompts
from instructsam_training.evaluation.benchmarks import sources
from instructsam_training.evaluation.query import Prompt, Question
from instructsam_training.evaluation.scoring import IouRule


class Read(Protocol):
    """Reads one split of a benchmark."""

    def __call__(self, root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Question]:
        """The questions of the split.

        Raises:
            ConfigError: the data set cannot be used.
        """
        ...


@dataclass(frozen=True)
class Benchmark:
    """What is asked, in which words, and what is computed of the answers.

    Attributes:
        name: as on the command line.
        read: gives its questions.
        splits: of its data set; the first unless another is asked for.
        prompt: the words of the public evaluation.
        metrics: names of `metric.METRICS`, the most important first.
        min_score: predictions that score lower or equal are left out.
        rule: how the IoU of a question is calculated.
        released_rule: the same by the public evaluation, where that differs.
        group: what the questions' `group` is; empty when there are no groups.
        counts_targets: also report by number of targets.
        has_instances: its targets are instances, so that COCO's average precision means something.
        released_leaves_out: the public evaluation leaves out questions for which nothing was found, which makes its
            numbers larger.
    """

    name: str
    read: Read
    splits: tuple[str, ...]
    prompt: Prompt
    metrics: tuple[str, ...]
    min_score: float = 0.3
    rule: IouRule = field(default_factory=IouRule)
    released_rule: IouRule | None = None
    group: str = ''
    counts_targets: bool = False
    has_instances: bool = False
    released_leaves_out: bool = False

    def rule_of(self, protocol: str) -> IouRule:
        """The rule of the protocol, `trained` or `released`."""
        return self.released_rule if protocol == 'released' and self.released_rule else self.rule

    def questions(self, root: Path, split: str, report: SkipReport, images: Path | None = None) -> list[Question]:
        """The questions of a split, each id once.

        Raises:
            ConfigError: the split is unknown, the data set cannot be used, or nothing in it can be read.
        """
        if split not in self.splits:
            raise ConfigError(f'split: expected one of {", ".join(self.splits)} of {self.name}, got {split!r}')
        unique: dict[str, Question] = {}
        for question in self.read(root, split, report, images):
            unique.setdefault(question.id, question)
        if not unique:
            reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
            raise ConfigError(f'{root}: expected questions of {self.name} {split}, found none{reason}')
        return list(unique.values())


INSTANCES = ('mAP', 'gIoU', 'cIoU', 'AP50', 'AP75')
LISA = IouRule(empty=1.0, epsilon=1e-5)
"""LISA's `validate`: one is added where the union is empty."""
RELEASED = IouRule(empty=0.0, epsilon=1e-12)
"""The public evaluation of ReasonSeg and RoboRefIt, which knows no empty target."""
MASK_ONLY = IouRule(empty=0.0)


def _refer(name: str, source: str, *splits: str) -> Benchmark:
    metrics = ('cIoU', 'mIoU', 'Pr@0.5', 'Pr@0.6', 'Pr@0.7', 'Pr@0.8', 'Pr@0.9', 'box Acc@0.5')
    read = partial(sources.read_release, name=source)
    return Benchmark(name, read, splits, prompts.can_you_segment, metrics, rule=MASK_ONLY)


BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            'tabletop',
            sources.read_tabletop,
            ('test',),
            prompts.plain,
            ('mAP', 'gIoU', 'accuracy', 'cIoU', 'AP50', 'AP75', 'N-acc', 'T-acc'),
            group='kind',
            counts_targets=True,
            has_instances=True,
        ),
        Benchmark(
            'inst2seg',
            sources.read_inst2seg_questions,
            ('test',),
            prompts.with_request,
            (*INSTANCES, 'N-acc', 'T-acc'),
            counts_targets=True,
            has_instances=True,
        ),
        Benchmark(
            'roborefit',
            partial(sources.read_release, name='roborefit', published='roborefit_{}_qa.json'),
            ('testA', 'testB'),
            prompts.with_request,
            ('mIoU', 'box Acc@0.5', 'cIoU', 'Pr@0.5', 'Pr@0.7', 'Pr@0.9', 'box mIoU'),
            min_score=0.5,
            rule=MASK_ONLY,
            released_rule=RELEASED,
            group='scene',
        ),
        Benchmark(
            'reasonseg',
            partial(sources.read_release, name='reasonseg', published='reason_seg_{}.json'),
            ('val', 'test'),
            prompts.reasonseg,
            ('gIoU', 'cIoU'),
            rule=LISA,
            released_rule=RELEASED,
            group='length',
        ),
        Benchmark(
            'grefcoco',
            partial(sources.read_release, name='grefcoco', published='grefcoco_{}.json'),
            ('val', 'testA', 'testB'),
            prompts.can_you_segment,
            (*INSTANCES, 'N-acc', 'T-acc', 'Pr@0.7', 'Pr@0.8', 'Pr@0.9'),
            counts_targets=True,
            has_instances=True,
        ),
        _refer('refcoco', 'refcoco', 'val', 'testA', 'testB'),
        _refer('refcoco+', 'refcoco+', 'val', 'testA', 'testB'),
        _refer('refcocog', 'refcocog', 'val', 'test'),
        Benchmark(
            'gseval',
            sources.read_gseval,
            ('test',),
            prompts.can_you_segment,
            ('gIoU', 'cIoU', 'Pr@0.5', 'box Acc@0.5'),
            rule=MASK_ONLY,
            group='class',
            released_leaves_out=True,
        ),
    )
}
