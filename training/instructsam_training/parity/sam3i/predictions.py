"""Parity of what a user gets: instances after the score threshold, and a data set's predictions with their metrics.

`postprocessed_type*.json` has, by threshold and query, scores, boxes in pixels and masks at the size of the image.
`e2e/` has the predictions of the public inference for `dataset.json`, one record an annotation, and their metrics.

Notation: K decoder queries, n those above the threshold, H W the image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.image_io import read_image
from instructsam_model.masks import Rle, encode_rle
from instructsam_model.sam3.phrase_detector import combine_scores
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.coco_file import Id
from instructsam_training.datasets.io.sam3i_file import LevelName, Sam3iFile, read_sam3i_file
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.sam3i.ground_truth import read_ground_truth
from instructsam_training.evaluation.sam3i.protocols import PROTOCOLS, score_records
from instructsam_training.evaluation.sam3i.records import PredictionRecord, read_records, records_of
from instructsam_training.families.sam3i.image_transforms import Placement, place_pixels
from instructsam_training.parity.report import Difference
from instructsam_training.parity.sam3i.golden_files import read_object
from instructsam_training.parity.sam3i.golden_inputs import LEVELS, GoldenInputs
from instructsam_training.parity.sam3i.metrics import compare_numbers

TOLERANCE = 5e-5
BOX_TOLERANCE = 5e-5
"""Of boxes relative to the image; those in the files are in pixels."""
MIN_SCORE = 0.5
"""Threshold of the public inference: scores above it are kept."""
LEVEL_NAMES: tuple[LevelName, ...] = ('simple', 'complex')
"""Levels that the public inference can run; with concepts it ends with an error."""


@dataclass(frozen=True)
class Kept:
    """Instances above a threshold, in the order of the queries.

    Attributes:
        scores: [n].
        box_xyxy: of the box head, pixels, [n, 4].
        masks: n masks of H x W.
    """

    scores: Tensor
    box_xyxy: Tensor
    masks: tuple[Rle, ...]


@torch.no_grad()
def predict(
    network: Sam3I, pixel_values: Tensor, token_ids: Tensor, level: Level, size_hw: tuple[int, int], min_score: float
) -> Kept:
    """Detect what one text asks for in one image.

    Args:
        network: in evaluation mode.
        pixel_values: float32 [1, 3, S, S].
        token_ids: int64 [1, L].
        level: of the text.
        size_hw: height and width of the image.
        min_score: instances with this score or a lower one are left out.
    """
    vision = network.encode_image(pixel_values)
    prompt = network.prompt(network.encode_text(token_ids, level), vision)
    found = network.detect(vision, prompt, level)
    assert found.presence_logits is not None
    box_xyxy, mask_logits = found.refined_xyxy[-1, 0], found.mask_logits[0]
    scores = combine_scores(found.score_logits[0], found.presence_logits[0], box_xyxy, mask_logits)
    kept = scores > min_score
    height, width = size_hw
    # Logits are resized, not probabilities; one by one, as there may be none.
    resized = [_resize(logits, size_hw) for logits in mask_logits[kept]]
    masks = tuple(encode_rle((logits.sigmoid() > 0.5).numpy()) for logits in resized)
    return Kept(scores[kept], box_xyxy[kept] * torch.tensor([width, height] * 2), masks)


def _resize(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return F.interpolate(logits[None, None], size_hw, mode='bilinear', align_corners=False)[0, 0]


def compare_postprocessing(inputs: GoldenInputs) -> list[Difference]:
    """Compare the instances of every query at every threshold of every text type."""
    rows: list[Difference] = []
    for file in sorted(inputs.folder.glob('postprocessed_type*.json')):
        text_type = int(re.sub(r'\D', '', file.stem))
        level = LEVELS[text_type]
        for threshold, by_query in read_object(file).items():
            for query, golden in by_query.items():
                kept = _predict_query(inputs, int(query), level, float(threshold))
                rows += _compare_kept(f'type{text_type} post', kept, golden, inputs.size_hw(int(query)))
    return rows


def _predict_query(inputs: GoldenInputs, query: int, level: Level, min_score: float) -> Kept:
    image = inputs.content['img_ids'][query]
    return predict(
        inputs.network,
        inputs.pixel_values[image : image + 1],
        inputs.token_ids(level)[query : query + 1],
        level,
        inputs.size_hw(query),
        min_score,
    )


def _compare_kept(name: str, kept: Kept, golden: dict[str, Any], size_hw: tuple[int, int]) -> list[Difference]:
    boxes = torch.tensor(golden['boxes'], dtype=torch.float64).reshape(-1, 4)
    size = torch.tensor([*size_hw[::-1]] * 2)
    rows = [
        Difference.arrays(f'{name} n', len(kept.scores), golden['n'], abs_tol=0),
        Difference.arrays(f'{name} scores', kept.scores, golden['scores'], abs_tol=TOLERANCE),
        Difference.arrays(f'{name} boxes', kept.box_xyxy / size, boxes / size, abs_tol=BOX_TOLERANCE),
    ]
    if golden.get('masks') is not None:
        rows.append(Difference.texts(f'{name} masks', _texts(kept.masks), _texts(golden['masks'])))
    return rows


def compare_end_to_end(inputs: GoldenInputs) -> list[Difference]:
    """Predict `dataset.json` at each level, and compare records, masks and metrics with those of the public inference.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    file, rows = inputs.folder / 'dataset.json', list[Difference]()
    content = read_sam3i_file(file, SkipReport())
    expected = read_object(inputs.folder / 'e2e' / 'metrics.json')
    for level in LEVEL_NAMES:
        golden_file = inputs.folder / 'e2e' / f'pred_{level}.json'
        if not golden_file.is_file():
            continue
        records = records_of(content, level, dict(_predict_file(inputs, content, level)), MIN_SCORE)
        rows += _compare_records(f'e2e {level}', records, read_records(golden_file))
        truth = read_ground_truth(file)
        for protocol in PROTOCOLS:
            if f'{level}.{protocol}' in expected:
                result = score_records(protocol, truth, records)
                rows += compare_numbers(f'e2e {level} {protocol}', result, expected[f'{level}.{protocol}'])
    return rows


def _predict_file(inputs: GoldenInputs, content: Sam3iFile, level: LevelName) -> Iterator[tuple[Id, PredictedMasks]]:
    """Predict every entry of `images` once, with the first text of the level."""
    ids = token_ids_by_text(inputs)
    for image in content.images:
        frame = read_image(inputs.folder / image.file_name)
        side = inputs.input_side
        pixels = place_pixels(frame, Placement(side), side)[None]
        token_ids = ids[image.texts.of(level)[0]]
        kept = predict(inputs.network, pixels, token_ids[None], Level(level), image.size_hw, MIN_SCORE)
        yield image.id, PredictedMasks(str(image.id), kept.masks, tuple(kept.scores.tolist()))


def token_ids_by_text(inputs: GoldenInputs) -> dict[str, Tensor]:
    """Return the recorded token ids of every text of `inputs.json`, so that no vocabulary is needed."""
    keys = {Level.CONCEPT: 'concept', Level.SIMPLE: 'simple_query', Level.COMPLEX: 'complex_query'}
    return {
        query[key][0]: row
        for level, key in keys.items()
        for query, row in zip(inputs.content['order'], inputs.token_ids(level), strict=True)
    }


def _compare_records(name: str, ours: list[PredictionRecord], golden: list[PredictionRecord]) -> list[Difference]:
    """Compare the records of one level; within a record, the order of the masks does not matter."""
    ours, golden = ([_best_first(record) for record in records] for records in (ours, golden))
    texts, golden_texts = (
        [
            json.dumps([each.annotation_id, each.image_id, each.file_name, each.prompt, each.prompt_type])
            for each in side
        ]
        for side in (ours, golden)
    )
    masks, golden_masks = ([json.dumps(each.masks) for each in side] for side in (ours, golden))
    scores, golden_scores = ([score for each in side for score in each.scores] for side in (ours, golden))
    return [
        Difference.texts(f'{name} records', texts, golden_texts),
        Difference.texts(f'{name} masks', masks, golden_masks),
        Difference.arrays(f'{name} scores', scores, golden_scores, abs_tol=TOLERANCE),
    ]


def _best_first(record: PredictionRecord) -> PredictionRecord:
    order = sorted(range(len(record.masks)), key=lambda number: -record.scores[number])
    masks = tuple(Rle(size=record.masks[number]['size'], counts=record.masks[number]['counts']) for number in order)
    return replace(record, masks=masks, scores=tuple(record.scores[number] for number in order))


def _texts(masks: Sequence[Rle]) -> list[str]:
    return [json.dumps([list(mask['size']), mask['counts']]) for mask in masks]
