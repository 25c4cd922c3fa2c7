"""`DataCheck`: what a check of the training data of a stage found, and whether a run would be refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from instructsam_training.check.facts import SampleFacts
from instructsam_training.check.faults import kind_of

MAX_EXAMPLES = 3
"""Messages that are kept of each kind of fault."""


@dataclass
class DataCheck:
    """The data of one stage; counts are those of the checked samples.

    Attributes:
        stage: its name.
        num_queries: K.
        max_positions: limit of a conversation, see `ExampleBuilder`; longer ones are unreadable.
        max_unreadable: as in `DataConfig`.
        samples: number of all samples of the data.
        checked: number of samples that were read.
        seconds: that this took.
        unreadable: samples that cannot be used.
        annotations: number of annotations, those that cannot be read included.
        unreadable_annotations: annotations that cannot be read, of samples that can.
        sample_faults, annotation_faults: how often each kind of fault makes a sample or an annotation unreadable.
        examples: the first messages of each kind.
        kinds: annotations by the kind of their text.
        forms: annotations by what is annotated.
        instances: number of masks and boxes.
        over_num_queries: annotations with more than K instances.
        largest_count: the largest number of instances of an annotation.
        tokens: lengths of the conversations.
        without_question: samples about which nothing is asked.
        trained_samples: samples with tokens or phrases that this stage trains.
        tiny_masks, full_masks, repeated_annotations: see `SampleFacts`.
        repeated_records: records that are copies of another one.
        heights, widths: of the images.
    """

    stage: str
    num_queries: int
    max_positions: int
    max_unreadable: float
    samples: int = 0
    checked: int = 0
    seconds: float = 0.0
    unreadable: int = 0
    annotations: int = 0
    unreadable_annotations: int = 0
    sample_faults: Counter[str] = field(default_factory=Counter)
    annotation_faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    over_num_queries: int = 0
    largest_count: int = 0
    tokens: list[int] = field(default_factory=list)
    without_question: int = 0
    trained_samples: int = 0
    tiny_masks: int = 0
    full_masks: int = 0
    repeated_annotations: int = 0
    repeated_records: int = 0
    heights: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    _sources: dict[str, str] = field(default_factory=dict)

    def add(self, facts: SampleFacts, *, trains_text: bool, trains_masks: bool) -> None:
        """Count one sample; what is trained depends on the objective of the stage."""
        self.checked += 1
        # 1. Annotations, of which a sample may have lost some, also one that cannot be used itself.
        for message in facts.annotation_errors:
            self._add_fault(message, self.annotation_faults)
        self.annotations += len(facts.annotation_errors) + len(facts.annotations)
        self.unreadable_annotations += len(facts.annotation_errors)
        # 2. A sample that cannot be used ends here, without size and conversation.
        if facts.error or facts.size_hw is None:
            self.unreadable += 1
            self._add_fault(facts.error, self.sample_faults)
            return
        # 3. Its size and its conversation.
        self.tokens.append(facts.tokens)
        self.heights.append(facts.size_hw[0])
        self.widths.append(facts.size_hw[1])
        self.without_question += not facts.trained_tokens
        self.trained_samples += bool((trains_text and facts.trained_tokens) or (trains_masks and facts.phrases))
        # 4. What is suspicious but can be trained.
        self.tiny_masks += facts.tiny_masks
        self.full_masks += facts.full_masks
        self.repeated_annotations += facts.repeated
        # A mixture repeats records: only another record is a copy.
        self.repeated_records += self._sources.setdefault(facts.digest, facts.source) != facts.source
        self._add_annotations(facts)

    def _add_fault(self, message: str, faults: Counter[str]) -> None:
        """Count a fault by its kind; its message is kept if it is one of the first."""
        kind = kind_of(message)
        faults[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(message)

    def _add_annotations(self, facts: SampleFacts) -> None:
        for annotation in facts.annotations:
            self.kinds[annotation.kind] += 1
            self.forms[annotation.form] += 1
            self.instances += annotation.instances
            self.over_num_queries += annotation.instances > self.num_queries
            self.largest_count = max(self.largest_count, annotation.instances)

    @property
    def refusals(self) -> list[str]:
        """Why a run with this data is refused; empty if it is not."""
        reasons = []
        if self.unreadable > self.max_unreadable * self.checked:
            reasons.append(self._too_many(self.unreadable, self.checked, 'samples', self.sample_faults))
        # Unreadable samples often have unreadable annotations; one reason is enough for both.
        elif self.unreadable_annotations > self.max_unreadable * self.annotations:
            reasons.append(
                self._too_many(self.unreadable_annotations, self.annotations, 'annotations', self.annotation_faults)
            )
        # Only of samples that can be read, so that a fault of the files is not blamed on the settings.
        if self.checked > self.unreadable and not self.trained_samples:
            reasons.append(
                f'none of the {self.checked} samples has anything that this stage trains; check objective, and '
                'phrases, kinds and drop_above of conversation'
            )
        # With max_unreadable: 1, a share is never too large.
        if self.checked == self.unreadable and not reasons:
            reasons.append(f'none of the {self.checked} samples can be used, so nothing would be trained')
        return reasons

    def _too_many(self, number: int, total: int, what: str, faults: Counter[str]) -> str:
        """Return the reason of a refusal: how many, of which kinds, and a message of the most frequent kind."""
        kinds = ', '.join(f'{kind} {count}' for kind, count in faults.most_common())
        first = self.examples[faults.most_common(1)[0][0]][0]
        return (
            f'{number} of {total} {what} cannot be used ({kinds}), more than the share max_unreadable '
            f'{self.max_unreadable:g}; for example {first}'
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of `data_check.json`."""
        content = {key: value for key, value in vars(self).items() if not key.startswith('_')}
        # Of lists with a number for each sample, only the range is written.
        for name in ('tokens', 'heights', 'widths'):
            values = sorted(content[name]) or [0]
            content[name] = {'min': values[0], 'median': values[len(values) // 2], 'max': values[-1]}
        return {**content, 'refusals': self.refusals}
