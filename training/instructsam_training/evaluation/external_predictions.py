"""Reads predictions that were made elsewhere, and writes the queries that they are for.

    COCO results        [{"image_id": "12.0", "category_id": 1, "segmentation": RLE, "score": 0.9}, ...]
    GSEval              {"idx": 7, "segmentation": RLE}, one line each
    SAM3-I's records    [{"annotation_id": 1, "image_id": 1, "predictions": [{"rle": RLE, "score": 0.9}]}, ...]
    the public scripts  [{summary}, {"idx": 0, "instruction": "...", "pred_rles": [RLE], "pred_scores": [0.9]}, ...]
                        or, without scores, "mask_rle" or "pred_mask_rle": [RLE or null, ...]
    predictions-*.jsonl of an earlier evaluation

A record names its query by id, or by its number in the benchmark, from 0; `--write-queries` writes both. A query that
the file does not mention has an empty prediction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, to_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.coco_file import parse_id
from instructsam_training.datasets.io.file_kind import PREDICTIONS, check_kind
from instructsam_training.datasets.io.files import load_json
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.evaluation.prediction import FILE_PATTERN, PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.sam3i.records import parse_record

RawMasks = list[tuple[Any, Any]]
"""Masks in any form, each with its score."""

UNSCORED_KEYS = ('mask_rle', 'pred_mask_rle')


class _QueryIndex:
    """Finds the query of a record."""

    def __init__(self, queries: Sequence[Query], report: SkipReport) -> None:
        self._queries, self._report = queries, report
        self._by_id = {query.id: query for query in queries}
        self._by_coco_key = {key: query for query in queries for key in query.coco_keys}
        self._coco_images = {image for image, _ in self._by_coco_key}

    def find(self, record: Mapping[str, Any]) -> Query | None:
        """Return the query of a record; None for one about a category that its image is not asked about.

        Raises:
            ValueError: there is no such query, or the record was made for another instruction.
        """
        # COCO results call it image_id, the public scripts and GSEval idx, our own files id.
        name = next((record[key] for key in ('image_id', 'idx', 'id') if record.get(key) is not None), None)
        if str(name) in self._by_id:
            query = self._by_id[str(name)]
        elif self._coco_images and 'image_id' in record:
            return self._find_by_category(name, record)
        elif isinstance(name, int) and 0 <= name < len(self._queries):
            query = self._queries[name]
        else:
            expected = f'expected the id of a query, or its number below {len(self._queries)}'
            raise ValueError(f'{expected}, got {name!r}')
        # The public scripts write the instruction too; another one means another order or version of the data set.
        instruction = record.get('instruction')
        if isinstance(instruction, str) and query.text.lower() not in instruction.lower():
            raise ValueError(f'expected a prediction for {query.text!r}, got one for {instruction!r}')
        return query

    def _find_by_category(self, name: Any, record: Mapping[str, Any]) -> Query | None:
        """Return the query of a COCO result, whose image and category have their ids in the annotation file."""
        image, category = str(parse_id(name)), str(parse_id(record.get('category_id')))
        if image not in self._coco_images:
            raise ValueError(f'expected the id of an image of the annotation file, got {name!r}')
        if (image, category) not in self._by_coco_key:
            self._report.note('predictions for categories that their image is not asked about, left out', image)
        return self._by_coco_key.get((image, category))


def read_external_predictions(file: Path, queries: Sequence[Query], report: SkipReport) -> dict[str, PredictedMasks]:
    """Read one prediction for each query.

    Args:
        file: a JSON list, or JSON lines, in one of the forms above.
        queries: of the benchmark, in its order.
        report: gets the records and masks that cannot be used; other masks of the same query still count.

    Raises:
        ConfigError: the file cannot be read, or none of its records, or none of its masks, can be used.
    """
    index = _QueryIndex(queries, report)
    found: dict[str, list[tuple[Rle, float]]] = {}
    raw: dict[str, RawMasks] = {}  # first record of each query
    mask_count = 0
    # Records of one query are collected first: COCO results have one record a mask.
    for number, record in _records(file, report):
        try:
            query = index.find(record)
            if query is None:
                continue
            raw_masks, is_complete = _read_masks(record)
        except ValueError as error:
            report.skip(file, number, str(error))
            continue
        if is_complete and query.id in found:
            # Distributed samplers repeat queries, SAM3-I repeats them for each annotation; the first prediction counts.
            different = int(raw_masks != raw.get(query.id))
            report.note('further predictions of a query that differ from its first one, left out', query.id, different)
            continue
        raw.setdefault(query.id, raw_masks)
        masks = found.setdefault(query.id, [])
        mask_count += len(raw_masks)
        for mask, score in raw_masks:
            try:
                masks.append(_check_mask(mask, score, query))
            except ValueError as error:
                report.skip(file, number, f'query {query.id}: {error}')
    # Masks of which none has the right size are those of another data set, not empty predictions.
    if not found or (mask_count and not any(found.values())):
        reason = f'; the first that was skipped: {report.errors[0]}' if report.errors else ''
        reason += ''.join(f'; {number} {note}' for note, number in report.notes.items())
        raise ConfigError(f'{file}: expected predictions, found none that can be used{reason}')
    return {query.id: _make_prediction(query, found.get(query.id, [])) for query in queries}


def check_predictions_file(file: Path, benchmark: str, split: str) -> None:
    """Check that a file has predictions, and if an earlier evaluation wrote it, that it is of this benchmark and split.

    Raises:
        ConfigError: it is something else.
    """
    if file.is_dir():
        raise ConfigError(f'{file}: expected a file of predictions, got a folder; name a file in it, {FILE_PATTERN}')
    check_kind(file, (PREDICTIONS,))
    # Queries of two benchmarks may have the same ids.
    description = file.with_name('run.json')
    if fnmatch(file.name, FILE_PATTERN) and description.is_file():
        run = load_json(description)
        found = (run.get('benchmark'), run.get('split')) if isinstance(run, dict) else (None, None)
        if found != (benchmark, split):
            raise ConfigError(
                f'{file}: expected predictions for {benchmark} {split}, got those for {found[0]} {found[1]}'
            )


def write_queries(queries: Sequence[Query], file: Path) -> None:
    """Write the queries as JSON lines, for a model that is run elsewhere."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open('w', encoding='utf-8') as stream:
        for number, query in enumerate(queries):
            height, width = query.size_hw
            line = {'number': number, 'id': query.id, 'image': str(query.image), 'text': query.text}
            stream.write(json.dumps({**line, 'height': height, 'width': width}) + '\n')


def _records(file: Path, report: SkipReport) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for raw in iter_records(file):
        try:
            record = json.loads(raw.text) if not raw.fault else None
        except ValueError as error:
            report.skip(file, raw.index, f'expected a JSON object: {error}')
            continue
        if not isinstance(record, dict):
            report.skip(file, raw.index, raw.fault or f'expected an object, got {type(record).__name__}')
        elif not (raw.index == 0 and not {'idx', 'image_id', 'id'} & record.keys()):  # summary of the public scripts
            yield raw.index, record


def _read_masks(record: Mapping[str, Any]) -> tuple[RawMasks, bool]:
    """Return the masks of a record with their scores, and whether they are all the masks of its query."""
    if 'predictions' in record:  # of SAM3-I, whose empty counts stand for an empty mask
        parsed = parse_record(record)
        return list(zip(parsed.masks, parsed.scores, strict=True)), True
    return _read_masks_of_others(record)


def _read_masks_of_others(record: Mapping[str, Any]) -> tuple[RawMasks, bool]:
    if 'image_id' in record:
        return [(record.get('segmentation'), record.get('score'))], False
    # Our own files and the public scripts record failures; they count as empty predictions.
    if 'error' in record and not record.get('masks'):
        return [], True
    for masks, scores in (('pred_rles', 'pred_scores'), ('masks', 'scores')):
        if masks in record:
            return _pair(record[masks], record.get(scores)), True
    for key in UNSCORED_KEYS:
        if key in record:
            return [(mask, 1.0) for mask in _check_list(record[key]) if mask is not None], True
    if 'segmentation' in record:
        return [] if record['segmentation'] is None else [(record['segmentation'], 1.0)], True
    raise ValueError(f'expected segmentation, pred_rles, {" or ".join(UNSCORED_KEYS)}, got {sorted(record)}')


def _pair(masks: Any, scores: Any) -> RawMasks:
    masks, scores = _check_list(masks), _check_list(scores)
    if len(masks) != len(scores):
        raise ValueError(f'expected a score for each of {len(masks)} masks, got {len(scores)}')
    return list(zip(masks, scores, strict=True))


def _check_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f'expected a list, got {type(value).__name__}')
    return value


def _check_mask(mask: Any, score: Any, query: Query) -> tuple[Rle, float]:
    """Return a mask of the query's size and its score."""
    # bool is a subclass of int.
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f'score: expected a number, got {score!r}')
    return to_rle(mask, query.size_hw), float(score)


def _make_prediction(query: Query, masks: Sequence[tuple[Rle, float]]) -> PredictedMasks:
    # `PredictedMasks` has the best score first; records have any order.
    best_first = sorted(masks, key=lambda pair: -pair[1])
    return PredictedMasks(query.id, tuple(mask for mask, _ in best_first), tuple(score for _, score in best_first))
