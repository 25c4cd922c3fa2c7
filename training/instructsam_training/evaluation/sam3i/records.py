"""The prediction records of SAM3-I: one for each annotation of an annotation file, in a JSON list.

    [{"annotation_id": 1, "image_id": 1, "file_name": "1.png", "prompt": {...}, "prompt_type": "simple_query_0",
      "predictions": [{"rle": {"size": [480, 640], "counts": "..."}, "score": 0.91}]}, ...]

`prompt` has the texts of the entry of `images`, and the text that was asked a second time in its list: public code
appends it. An empty list of predictions means that nothing was found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.masks import Rle, encode_rle, to_rle
from instructsam_training.datasets.io.coco_file import Id, parse_id
from instructsam_training.datasets.io.files import load_json, non_empty_list
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.datasets.io.sam3i_file import TEXT_KEYS, LevelName, Sam3iFile
from instructsam_training.evaluation.prediction import PredictedMasks

MISSING_SCORE = 1.0
"""Score of a mask without one, as in the public evaluation."""


@dataclass(frozen=True)
class PredictionRecord:
    """The answer for one annotation.

    Attributes:
        annotation_id: of the annotation.
        image_id: of its entry of `images`.
        masks: of any size; the scoring compares it with that of the annotation.
        scores: of the masks, in the same order.
        file_name: of the image; empty if the file does not say.
        prompt: texts; None if the file does not say.
        prompt_type: such as `simple_query_0`; empty if the file does not say.
    """

    annotation_id: Id
    image_id: Id
    masks: tuple[Rle, ...] = ()
    scores: tuple[float, ...] = ()
    file_name: str = ''
    prompt: Any = None
    prompt_type: str = ''

    def keep_best(self) -> PredictionRecord:
        """Return the record with its best mask alone, as the public evaluation of RefCOCO does."""
        if not self.masks:
            return self
        best = max(range(len(self.masks)), key=lambda number: self.scores[number])
        return replace(self, masks=(self.masks[best],), scores=(self.scores[best],))


def read_records(file: Path) -> list[PredictionRecord]:
    """Read all records of a file, in its order.

    Raises:
        ConfigError: the file cannot be read; a record or one of its masks is damaged.
    """
    records: list[PredictionRecord] = []
    for index, entry in enumerate(non_empty_list(file, load_json(file))):
        try:
            records.append(parse_record(entry))
        except ValueError as error:
            raise ConfigError(f'{file}: {index}: {error}') from None
    return records


def is_record_file(file: Path) -> bool:
    """Return whether a file has prediction records, by its first entry."""
    first = next(iter(iter_records(file)), None)
    try:
        entry = json.loads(first.text) if first is not None else None
    except ValueError:
        return False
    return isinstance(entry, dict) and {'annotation_id', 'predictions'} <= entry.keys()


def parse_record(entry: Any) -> PredictionRecord:
    """Return a record of a file.

    Raises:
        ValueError: it is damaged.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get('predictions'), list):
        raise ValueError('expected an object with annotation_id, image_id and a list of predictions')
    masks, scores = [], []
    for number, prediction in enumerate(entry['predictions']):
        if not isinstance(prediction, dict):
            raise ValueError(f'predictions.{number}: expected an object with rle and score, got {prediction!r}')
        masks.append(_parse_mask(prediction.get('rle')))
        scores.append(_parse_score(prediction.get('score', MISSING_SCORE)))
    return PredictionRecord(
        parse_id(entry.get('annotation_id')),
        parse_id(entry.get('image_id')),
        tuple(masks),
        tuple(scores),
        str(entry.get('file_name') or ''),
        entry.get('prompt'),
        str(entry.get('prompt_type') or ''),
    )


def records_of(
    content: Sam3iFile, level: LevelName, predictions: Mapping[Id, PredictedMasks], min_score: float
) -> list[PredictionRecord]:
    """Return the records of the public inference for predictions that were made once for each entry of `images`.

    Public inference asks once for each annotation, so that the annotations of an entry have equal records; it skips
    entries without a text of the level, and has no record for an entry without annotations.

    Args:
        content: of the annotation file.
        level: of the texts.
        predictions: by id of the entry; entries without a prediction, or with an error, get no record.
        min_score: masks with this score or a lower one are left out.
    """
    key, records = TEXT_KEYS[level], []
    for instance in content.instances:
        image, prediction = content.image_by_id[instance.image_id], predictions.get(instance.image_id)
        texts = image.texts.of(level)
        if prediction is None or prediction.error or not texts:
            continue
        prompt = {each: list(image.texts.of(name)) for name, each in TEXT_KEYS.items()}
        prompt[key].append(texts[0])
        kept = prediction.above(min_score)
        record = PredictionRecord(
            instance.id,
            image.id,
            tuple(mask for mask, _ in kept),
            tuple(score for _, score in kept),
            image.file_name,
            prompt,
            'concept' if level == 'concept' else f'{key}_0',
        )
        records.append(record)
    return records


def write_records(records: Iterable[PredictionRecord], file: Path) -> None:
    """Write records in the public format, sorted by the id of the annotation.

    Raises:
        OSError: the file cannot be written.
    """
    content = [
        {
            'annotation_id': record.annotation_id,
            'image_id': record.image_id,
            'file_name': record.file_name,
            'prompt': record.prompt,
            'prompt_type': record.prompt_type,
            'predictions': [
                {'rle': mask, 'score': score} for mask, score in zip(record.masks, record.scores, strict=True)
            ],
        }
        # Whole numbers first: ids may be texts.
        for record in sorted(records, key=lambda each: (isinstance(each.annotation_id, str), each.annotation_id))
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(file) as draft:
        draft.write_text(json.dumps(content))


def _parse_mask(rle: Any) -> Rle:
    # Empty counts stand for a mask without pixels.
    if isinstance(rle, dict) and rle.get('counts') in ('', b''):
        size: Sequence[int] = rle.get('size') or ()
        if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
            raise ValueError(f'rle.size: expected height and width, got {size!r}')
        return encode_rle(np.zeros(size, dtype=np.bool_))
    return to_rle(rle)


def _parse_score(score: Any) -> float:
    # bool is a subclass of int.
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f'score: expected a number, got {score!r}')
    return float(score)
