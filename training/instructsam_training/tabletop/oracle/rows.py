"""The models that the table compares: how each row is evaluated, in a folder of its own, so that it can be resumed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model.backends import find_backend, load_segmenter, resolve_checkpoint
from instructsam_model.datatypes import Frame, Instruction, Segmentation, Segmenter, Selection, never
from instructsam_model.sam3_agent.core.state import Settings
from instructsam_model.sam3_agent.segmenter import AgentSegmenter
from instructsam_training.evaluation.arguments import make_arguments
from instructsam_training.evaluation.command import evaluate_benchmark
from instructsam_training.evaluation.result import EvaluationResult
from instructsam_training.evaluation.run import describe_weights
from instructsam_training.tabletop.oracle.oracle import Oracle
from instructsam_training.tabletop.oracle.phrase_segmenter import PhraseSegmenter
from instructsam_training.tabletop.oracle.questions import Key, Question

SAM3 = 'sam3'
"""Back end whose checkpoints take phrases as they are."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: of its folder.
        title: for people.
        identity: what its predictions depend on, beside the data.
        open: makes the segmenter from what is loaded already.
    """

    name: str
    title: str
    identity: Mapping[str, Any]
    open: Callable[[], Segmenter]


@dataclass(frozen=True)
class Loaded:
    """A checkpoint, loaded once for all rows that use it.

    Attributes:
        segmenter: the segmenter.
        backend: name of its back end.
        identity: of its weights.
    """

    segmenter: Segmenter
    backend: str
    identity: Mapping[str, Any]


def load(checkpoint: str, device: str, threads: int, options: Mapping[str, Any]) -> Loaded:
    """Load a checkpoint with the options of its back end for evaluations, as instructsam-eval does.

    Args:
        checkpoint: folder, file, hub id or `embedded`.
        device: see `load_segmenter`.
        threads: see `load_segmenter`.
        options: of back ends, with their names; those of other back ends are not used.

    Raises:
        CheckpointError: it cannot be used.
        ConfigError: an option is out of range.
    """
    source = resolve_checkpoint(checkpoint)
    backend = find_backend(source)
    prefix = f'{backend.name}.'
    own = {name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)}
    # A question or a phrase is never split at commas.
    whole = {'phrase_separator': ''} if backend.name == SAM3 else {}
    own = {**backend.evaluation_options, **whole, **own}
    segmenter = load_segmenter(checkpoint, backend.name, device, 'float32', threads=threads, **own)
    return Loaded(segmenter, backend.name, {'backend': backend.name, **own, 'weights': describe_weights(source)})


class NamingSegmenter:
    """Asks a segmenter for the first phrase of a question instead of the question: what SAM3 can do alone.

    Args:
        phrases: finds a phrase.
        questions: by id of the query.
    """

    def __init__(self, phrases: Segmenter, questions: Mapping[str, Question]) -> None:
        self._phrases = phrases
        self._questions = questions

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find all instances of the phrase, see `Segmenter.segment`."""
        phrase = self._questions[instruction.id].phrases[0]
        named = replace(instruction, text=phrase)
        found = self._phrases.segment(frame, named, selection, is_canceled=is_canceled)
        return replace(found, instruction=instruction, text=phrase)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Prepare for images of a size."""
        self._phrases.warm_up(size_wh)

    def memory_bytes(self) -> int | None:
        """Return the memory of the segmenter, in bytes; None if it is unknown."""
        return self._phrases.memory_bytes()

    def close(self) -> None:
        """Do nothing: the segmenter belongs to several rows."""


def make_rows(
    model: Loaded,
    phrases: Loaded,
    questions: Mapping[Key, Question],
    error_rates: Sequence[float],
    seed: int,
    *,
    strict: bool,
) -> list[Row]:
    """Return the rows of the table.

    Args:
        model: answers the questions in one pass.
        phrases: finds phrases: SAM3, or a segmenter of instructions in its place.
        questions: that the oracle knows.
        error_rates: of the oracle, 0..1; one row each.
        seed: of the mistakes.
        strict: add a row for each error rate above 0 with the behavior of the public code.
    """
    sam3 = phrases.segmenter if phrases.backend == SAM3 else PhraseSegmenter(phrases.segmenter)
    by_id = {question.id: question for question in questions.values()}
    rows = [
        Row('one-pass', model.backend, model.identity, lambda: model.segmenter),
        Row('names', 'names', phrases.identity, lambda: NamingSegmenter(sam3, by_id)),
    ]
    if phrases.backend == SAM3:
        rows.append(Row('questions', 'sam3 question', phrases.identity, lambda: phrases.segmenter))
        rows[1] = replace(rows[1], title='sam3 name')
    for rate in error_rates:
        rows.append(_agent_row(sam3, phrases, questions, rate, seed, is_strict=False))
    # Without mistakes, there is nothing that the public code would not repair.
    for rate in filter(None, error_rates if strict else ()):
        rows.append(_agent_row(sam3, phrases, questions, rate, seed, is_strict=True))
    return rows


def _agent_row(
    sam3: Segmenter, phrases: Loaded, questions: Mapping[Key, Question], rate: float, seed: int, *, is_strict: bool
) -> Row:
    percent = f'{100 * rate:g}'
    name, title = ('agent-strict', 'strict') if is_strict else ('agent', 'agent')
    return Row(
        f'{name}-{percent}',
        f'{title} {percent} %',
        {**phrases.identity, 'oracle': {'error_rate': rate, 'seed': seed}, 'strict': is_strict},
        lambda: AgentSegmenter(Oracle(questions, rate, seed), sam3, Settings(strict=is_strict)),
    )


def evaluate_row(row: Row, data: Path, folder: Path, settings: Mapping[str, Any]) -> EvaluationResult:
    """Evaluate a row on the tabletop; predictions that are in its folder already are used again.

    Args:
        row: to evaluate.
        data: folder of the data set.
        folder: each row gets a folder in it.
        settings: other arguments of an evaluation.

    Raises:
        ConfigError: the data cannot be used, or the folder has predictions of another run.
        OSError: a file cannot be written.
    """
    arguments = make_arguments('tabletop', data, {**settings, 'checkpoint': row.title, 'out': folder / row.name})

    @contextmanager
    def lend(checkpoint: str, /, **options: Any) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
        from instructsam_model.runtime.memory import peak_memory_gib

        yield row.open(), peak_memory_gib

    # Tables of the single evaluations go to stderr, because stdout is for the table of all.
    with redirect_stdout(sys.stderr):
        result = evaluate_benchmark(arguments, lend, Console(stderr=True), is_loaded=True, identity=row.identity)
    assert result is not None  # there is one process
    return result
