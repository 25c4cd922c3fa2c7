"""`PredictedMasks` of one query, and the files that predictions are appended to, one JSON line each."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from instructsam_model.datatypes import Segmentation
from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle

FILE_PATTERN = 'predictions-*.jsonl'


@dataclass(frozen=True)
class PredictedMasks:
    """The masks that a model predicted for one query, or the error that it ended with.

    Attributes:
        id: of the query.
        masks: every non-empty mask, best score first; no score threshold is applied yet.
        scores: confidence of each mask, 0..1.
        text: text that the model generated.
        seconds: latency; 0 if it was not measured.
        stages: latency of each stage, seconds, by name.
        memory_gib: peak memory of the process up to this prediction.
        error: error message; empty on success.
        ended: how the run of an agent ended, such as `selected`; empty for a model that answers in one pass.
        died: whether it ended without a decision, so that the masks are no answer.
        counts: what the run took, such as `rounds` and `tokens`, by name.
    """

    id: str
    masks: tuple[Rle, ...] = ()
    scores: tuple[float, ...] = ()
    text: str = ''
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    memory_gib: float = 0.0
    error: str = ''
    ended: str = ''
    died: bool = False
    counts: Mapping[str, float] = field(default_factory=dict)

    def above(self, min_score: float) -> tuple[tuple[Rle, float], ...]:
        """Return the masks that score above `min_score`, each with its score."""
        return tuple(pair for pair in zip(self.masks, self.scores, strict=True) if pair[1] > min_score)

    def best(self) -> PredictedMasks:
        """Return the prediction with its best mask alone."""
        return replace(self, masks=self.masks[:1], scores=self.scores[:1])


def from_segmentation(
    query_id: str, segmentation: Segmentation, seconds: float, peak_memory_gib: float
) -> PredictedMasks:
    """Convert the result of a segmenter to the prediction of a query."""
    return PredictedMasks(
        id=query_id,
        masks=tuple(encode_rle(instance.mask) for instance in segmentation.instances),
        scores=tuple(instance.score for instance in segmentation.instances),
        text=segmentation.text,
        seconds=seconds,
        stages=dict(segmentation.timings),
        memory_gib=peak_memory_gib,
    )


class PredictionLog:
    """Appends predictions to a file and syncs each line, so that a killed process loses none of them.

    An incomplete last line, left by a killed process, is truncated when the file is opened.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open('a+b')
        self._stream.seek(0)
        # Everything up to the last newline is complete.
        complete_bytes = self._stream.read().rfind(b'\n') + 1
        self._stream.truncate(complete_bytes)

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()

    def append(self, prediction: PredictedMasks) -> None:
        """Write one prediction and return once it is on disk."""
        self._stream.write(json.dumps(asdict(prediction)).encode() + b'\n')
        self._stream.flush()
        os.fsync(self._stream.fileno())


def log_file(folder: Path, rank: int) -> Path:
    """Return the file that process `rank` writes its predictions to."""
    return folder / FILE_PATTERN.replace('*', str(rank))


def load_predictions(folder: Path) -> dict[str, PredictedMasks]:
    """Load the predictions of all processes, by query; see `first_per_query` for repeated queries.

    Raises:
        ConfigError: a line other than an incomplete last one cannot be read.
    """
    return first_per_query(prediction for file in sorted(folder.glob(FILE_PATTERN)) for prediction in _read_lines(file))


def first_per_query(predictions: Iterable[PredictedMasks]) -> dict[str, PredictedMasks]:
    """Return the first prediction of each query; a prediction without an error replaces one with an error."""
    kept: dict[str, PredictedMasks] = {}
    for prediction in predictions:
        if prediction.id not in kept or (kept[prediction.id].error and not prediction.error):
            kept[prediction.id] = prediction
    return kept


def _read_lines(file: Path) -> list[PredictedMasks]:
    # The piece after the last newline is empty, or an incomplete line of a killed process.
    lines = file.read_bytes().split(b'\n')[:-1]
    predictions = []
    for number, line in enumerate(lines, 1):
        try:
            predictions.append(_parse(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f'{file}:{number}: expected a prediction, got {line[:60]!r}: {error}') from None
    return predictions


def _parse(fields: dict[str, Any]) -> PredictedMasks:
    if not all(map(math.isfinite, fields['scores'])):
        raise ValueError(f'scores: expected numbers, got {fields["scores"]}')
    return PredictedMasks(**{**fields, 'masks': tuple(fields['masks']), 'scores': tuple(fields['scores'])})
