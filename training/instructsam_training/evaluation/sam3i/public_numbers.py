"""The numbers of SAM3-I's public evaluation, for predictions of this evaluation or for a file of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.sam3i_file import LevelName, read_sam3i_file
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.sam3i.ground_truth import GroundTruth, read_ground_truth
from instructsam_training.evaluation.sam3i.protocols import MaskSizeError, Protocol, score_records
from instructsam_training.evaluation.sam3i.records import PredictionRecord, read_records, records_of

RECORDS_FILE = 'records.json'


@dataclass(frozen=True)
class PublicEvaluation:
    """How the public scripts evaluate a data set.

    Attributes:
        protocol: `1to1` or `multi_inst`.
        find_file: returns the annotation file of the folder of the data set.
    """

    protocol: Protocol
    find_file: Callable[[Path], Path]


def make_records(
    file: Path, level: LevelName, predictions: Mapping[str, PredictedMasks], min_score: float
) -> list[PredictionRecord]:
    """Return the records of the public inference for predictions by id of the entry, see `records_of`.

    Raises:
        ConfigError: the file is no annotation file.
    """
    content = read_sam3i_file(file, SkipReport())
    by_id: dict[Id, PredictedMasks] = {parse_id(name): prediction for name, prediction in predictions.items()}
    return records_of(content, level, by_id, min_score)


def load_records(file: Path, *, keep_best: bool) -> list[PredictionRecord]:
    """Read a file of records; `keep_best` keeps the best mask of each alone.

    Raises:
        ConfigError: the file cannot be read.
    """
    records = read_records(file)
    return [record.keep_best() for record in records] if keep_best else records


def public_numbers(
    evaluation: PublicEvaluation, file: Path, records: Sequence[PredictionRecord], only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score records as the public scripts do.

    Args:
        evaluation: of the data set.
        file: annotation file.
        records: predictions.
        only: ids of the entries of `images` that were asked; None for all of them.

    Returns:
        Ready for JSON: `protocol`, `numbers` (0..1), `counted` and `left_out`, see `ProtocolResult`.

    Raises:
        ConfigError: the annotation file cannot be used, or a mask has another size than its image.
    """
    truth = read_ground_truth(file)
    if only is not None:
        truth = _select(truth, {parse_id(name) for name in only})
    try:
        result = score_records(evaluation.protocol, truth, records)
    except MaskSizeError as error:
        raise ConfigError(f'{file}: {error}; the public evaluation ends at such a record') from None
    return {
        'protocol': evaluation.protocol,
        'numbers': dict(result.numbers),
        'counted': result.counted,
        'left_out': dict(result.left_out),
    }


def _select(truth: GroundTruth, image_ids: set[Id]) -> GroundTruth:
    return GroundTruth(
        {image_id: size for image_id, size in truth.sizes_hw.items() if image_id in image_ids},
        [annotation for annotation in truth.annotations if annotation.image_id in image_ids],
    )
