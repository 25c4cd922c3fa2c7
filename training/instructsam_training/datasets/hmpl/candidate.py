"""`Candidate`: the texts of one target on their way into a data set, as a record of JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from instructsam_training.datasets.hmpl.cardinality import Cardinality, cardinality_of
from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.files import parse_size_hw, text_of
from instructsam_training.datasets.io.sam3i_file import LEVELS, LevelTexts

State = Literal['writing', 'checking', 'review', 'accepted', 'deleted']
"""Waits for the writer, for the checker, or for people; is part of the data set, or is not."""
MAX_ROUNDS = 10
"""Attempts of the writer before people decide."""


@dataclass(frozen=True)
class Candidate:
    """One target with its texts.

    Attributes:
        id: unique among the candidates.
        file_name: of the image, relative to the folder of the images.
        size_hw: height and width of the image, pixels.
        class_name: of its instances.
        targets: ids of its instances.
        same_class: ids of all instances of the class in the image.
        texts: by level; none before the writer has written.
        negatives: instructions that look alike and mean nothing in the image.
        state: who has to act.
        rounds: how often the writer has written.
        failures: what the checker found wrong in the last round.

    Raises:
        ValueError: the targets are none of the class, or texts are missing where the state needs them.
    """

    id: str
    file_name: str
    size_hw: tuple[int, int]
    class_name: str
    targets: tuple[Id, ...]
    same_class: tuple[Id, ...]
    texts: LevelTexts = field(default_factory=LevelTexts)
    negatives: tuple[str, ...] = ()
    state: State = 'writing'
    rounds: int = 0
    failures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        cardinality_of(self.targets, self.same_class)
        if self.state not in get_args(State):
            raise ValueError(f'state: expected {", ".join(get_args(State))}, got {self.state!r}')
        if self.state in ('checking', 'accepted') and not (self.texts.simple or self.texts.complex):
            raise ValueError(f'{self.id}: expected an instruction in the state {self.state}, found none')

    @property
    def cardinality(self) -> Cardinality:
        """Which of the subsets it belongs to."""
        return cardinality_of(self.targets, self.same_class)

    def written(self, texts: LevelTexts, negatives: tuple[str, ...] = ()) -> Candidate:
        """Return the candidate with new texts of the writer, for the checker.

        Raises:
            ValueError: it does not wait for the writer, or there is no instruction.
        """
        self._expect('writing')
        changed = replace(self, texts=texts, negatives=negatives)
        return replace(changed, state='checking', rounds=self.rounds + 1, failures=())

    def checked(self, failures: tuple[str, ...]) -> Candidate:
        """Return the candidate after a check: accepted, back to the writer, or, after `MAX_ROUNDS`, to people.

        Raises:
            ValueError: it does not wait for the checker.
        """
        self._expect('checking')
        if not failures:
            return replace(self, state='accepted', failures=())
        return replace(self, state='writing' if self.rounds < MAX_ROUNDS else 'review', failures=failures)

    def reviewed(self, corrected: LevelTexts | None) -> Candidate:
        """Return the candidate after people decided: with corrected texts, or deleted if None.

        Raises:
            ValueError: it does not wait for people, or the correction has no instruction.
        """
        self._expect('review')
        if corrected is None:
            return replace(self, state='deleted')
        return replace(self, texts=corrected, state='accepted', failures=())

    def _expect(self, state: State) -> None:
        if self.state != state:
            raise ValueError(f'{self.id}: expected the state {state}, it is {self.state}')


def to_record(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as an object of JSON."""
    height, width = candidate.size_hw
    content = {name: value for name, value in asdict(candidate).items() if name != 'size_hw'}
    return {**content, 'height': height, 'width': width, 'cardinality': candidate.cardinality}


def from_record(record: Mapping[str, Any]) -> Candidate:
    """Read a candidate.

    Raises:
        ValueError: a field is missing or has another type, or the cardinality is another than that of the targets.
    """
    texts = record.get('texts')
    if not isinstance(texts, dict):
        raise ValueError(f'texts: expected an object with {", ".join(LEVELS)}, got {type(texts).__name__}')
    rounds = record.get('rounds')
    if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 0:
        raise ValueError(f'rounds: expected a number of at least 0, got {rounds!r}')
    candidate = Candidate(
        id=text_of(record, 'id'),
        file_name=text_of(record, 'file_name'),
        size_hw=parse_size_hw(record),
        class_name=text_of(record, 'class_name'),
        targets=tuple(parse_id(each) for each in _list(record, 'targets')),
        same_class=tuple(parse_id(each) for each in _list(record, 'same_class')),
        texts=LevelTexts(*(_texts(texts, level) for level in LEVELS)),
        negatives=_texts(record, 'negatives'),
        state=record.get('state'),  # type: ignore[arg-type]  # checked there
        rounds=rounds,
        failures=_texts(record, 'failures'),
    )
    if record.get('cardinality') != candidate.cardinality:
        raise ValueError(f'cardinality: expected {candidate.cardinality}, got {record.get("cardinality")!r}')
    return candidate


def _list(record: Mapping[str, Any], key: str) -> list[Any] | tuple[Any, ...]:
    value = record.get(key)
    if not isinstance(value, list | tuple):
        raise ValueError(f'{key}: expected a list, got {value!r}')
    return value


def _texts(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _list(record, key)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f'{key}: expected texts, got {str(values)[:60]}')
    return tuple(values)
