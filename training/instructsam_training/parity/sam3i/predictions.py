"""Parity of what a user gets: instances after the score threshold, and a data set's predictions with their metrics.

`postprocessed_type*.json` has, by threshold and query, scores, boxes in pixels and masks at the size of the image.
`e2e/` has the predictions of the public inference for `dataset.json`, one record an annotation, and their metrics.

Notation: K decoder queries, n those above the threshold, H W the image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTokenizer

from instructsam_model.image_io import read_image
from instructsam_model.masks import Rle, decode_rle, encode_rle, to_rle
from instructsam_model.sam3.features import Detections, VisionFeatures
from instructsam_model.sam3.phrase_detector import combine_scores
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.sam3i.tokens import tokenize_text
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.coco_file import Id
from instructsam_training.datasets.io.sam3i_file import LevelName, Sam3iFile, read_sam3i_file
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.sam3i.ground_truth import GroundTruth, read_ground_truth
from instructsam_training.evaluation.sam3i.protocols import PROTOCOLS, score_records
from instructsam_training.evaluation.sam3i.records import PredictionRecord, read_records, records_of
from instructsam_training.families.sam3i.image_transforms import Placement, place_pixels
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.forward import MASK_TOLERANCE
from instructsam_training.parity.sam3i.golden_files import read_object
from instructsam_training.parity.sam3i.golden_inputs import LEVELS, GoldenInputs
from instructsam_training.parity.sam3i.metrics import compare_numbers

TOLERANCE = 5e-5
"""Of scores, and of boxes relative to the image; those in the files are in pixels."""
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
        mask_logits: at the size of the image, [n, H, W].
    """

    scores: Tensor
    box_xyxy: Tensor
    mask_logits: Tensor

    @property
    def masks(self) -> tuple[Rle, ...]:
        """The masks: where the probability is above one half."""
        return tuple(encode_rle(mask) for mask in (self.mask_logits.sigmoid() > 0.5).numpy())


@torch.no_grad()
def predict(network: Sam3I, vision: VisionFeatures, token_ids: Tensor, level: Level) -> Detections:
    """Detect what B texts of one level [B, L] ask for in B images."""
    prompt = network.prompt(network.encode_text(token_ids, level), vision)
    return network.detect(vision, prompt, level)


def keep(found: Detections, row: int, size_hw: tuple[int, int], min_score: float) -> Kept:
    """Return the instances of one text that score above a threshold.

    Args:
        found: of B texts.
        row: the text.
        size_hw: height and width of its image.
        min_score: instances with this score or a lower one are left out.
    """
    assert found.presence_logits is not None
    box_xyxy, mask_logits = found.refined_xyxy[-1, row], found.mask_logits[row]
    scores = combine_scores(found.score_logits[row], found.presence_logits[row], box_xyxy, mask_logits)
    chosen = scores > min_score
    height, width = size_hw
    # Logits are resized, not probabilities; one by one, as there may be none.
    resized = [
        F.interpolate(logits[None, None], size_hw, mode='bilinear', align_corners=False)[0, 0]
        for logits in mask_logits[chosen]
    ]
    stacked = torch.stack(resized) if resized else torch.zeros(0, *size_hw)
    return Kept(scores[chosen], box_xyxy[chosen] * torch.tensor([width, height] * 2), stacked)


def compare_postprocessing(inputs: GoldenInputs) -> list[Difference]:
    """Compare the instances of every query at every threshold of every text type."""
    rows: list[Difference] = []
    for file in sorted(inputs.folder.glob('postprocessed_type*.json')):
        text_type = int(re.sub(r'\D', '', file.stem))
        level, golden = LEVELS[text_type], read_object(file)
        for query in sorted({int(query) for by_query in golden.values() for query in by_query}):
            # One image and one text at a time, as a user asks.
            image = inputs.content['img_ids'][query]
            with torch.no_grad():
                vision = inputs.network.encode_image(inputs.pixel_values[image : image + 1])
            found = predict(inputs.network, vision, inputs.token_ids(level)[query : query + 1], level)
            for threshold, by_query in golden.items():
                if str(query) in by_query:
                    kept = keep(found, 0, inputs.size_hw(query), float(threshold))
                    rows += _compare_kept(f'type{text_type} post', kept, by_query[str(query)])
    return rows


def _compare_kept(name: str, kept: Kept, golden: Mapping[str, Any]) -> list[Difference]:
    height, width = kept.mask_logits.shape[1:]
    size = torch.tensor([width, height] * 2)
    boxes = torch.tensor(golden['boxes'], dtype=torch.float64).reshape(-1, 4)
    rows = [
        Difference.arrays(f'{name} n', len(kept.scores), golden['n'], abs_tol=0),
        Difference.arrays(f'{name} scores', kept.scores, golden['scores'], abs_tol=TOLERANCE),
        Difference.arrays(f'{name} boxes', kept.box_xyxy / size, boxes / size, abs_tol=TOLERANCE),
    ]
    # Masks are recorded at one of the thresholds only.
    masks = golden.get('masks')
    return rows if masks is None else [*rows, *compare_masks(name, kept, [to_rle(mask) for mask in masks])]


def compare_masks(name: str, kept: Kept, golden: Sequence[Rle]) -> list[Difference]:
    """Compare the masks of one text, in the same order.

    A pixel whose logit is nearer to 0 than the logits' own tolerance is on one side or the other by the order of the
    additions: the golden set itself has such pixels on different sides in its two files. They are counted in a row of
    their own; a mask with any other pixel that differs is counted as different.
    """
    ours = [mask['counts'] for mask in kept.masks]
    undecided, differing = 0, abs(len(ours) - len(golden))
    for counts, logits, expected in zip(ours, kept.mask_logits, golden, strict=False):
        if counts == expected['counts']:
            continue
        wrong = torch.from_numpy(decode_rle(expected)) != (logits.sigmoid() > 0.5)
        near = logits.abs() <= MASK_TOLERANCE
        undecided += int((wrong & near).sum())
        differing += int((wrong & ~near).any())
    return [
        Difference.arrays(f'{name} masks', differing, 0, abs_tol=0),
        Difference.counted(f'{name} undecided pixels', undecided),
    ]


def compare_end_to_end(inputs: GoldenInputs, tokenizer: CLIPTokenizer | None) -> list[Difference | NotCompared]:
    """Predict `dataset.json` at each level, and compare records, masks and metrics with those of the public inference.

    Args:
        inputs: of the set.
        tokenizer: for texts that are not among those of `inputs.json`.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    file, rows = inputs.folder / 'dataset.json', list[Difference | NotCompared]()
    content = read_sam3i_file(file, SkipReport())
    expected = read_object(inputs.folder / 'e2e' / 'metrics.json')
    truth = read_ground_truth(file)
    for level in LEVEL_NAMES:
        golden_file = inputs.folder / 'e2e' / f'pred_{level}.json'
        if not golden_file.is_file():
            continue
        texts = [image.texts.of(level)[0] for image in content.images]
        token_ids = _token_ids(inputs, texts, tokenizer)
        if token_ids is None:
            rows.append(NotCompared(f'e2e {level}: texts without recorded token ids need the vocabulary of CLIP'))
            continue
        kept = _predict_file(inputs, content, token_ids, Level(level))
        predictions: dict[Id, PredictedMasks] = {
            image_id: PredictedMasks(str(image_id), each.masks, tuple(each.scores.tolist()))
            for image_id, each in kept.items()
        }
        records = records_of(content, level, predictions, MIN_SCORE)
        rows += _compare_records(f'e2e {level}', records, read_records(golden_file), kept)
        rows += _compare_metrics(level, truth, records, expected)
    return rows


def _compare_metrics(
    level: LevelName, truth: GroundTruth, records: Sequence[PredictionRecord], expected: Mapping[str, Any]
) -> list[Difference]:
    """Compare the metrics of the records of one level, and how many records and masks there are."""
    rows = []
    for protocol in PROTOCOLS:
        if f'{level}.{protocol}' in expected:
            result = score_records(protocol, truth, records)
            rows += compare_numbers(f'e2e {level} {protocol}', result, expected[f'{level}.{protocol}'])
    counts: Mapping[str, int | list[int]] = {
        'n_records': len(records),
        'n_masks': [len(record.masks) for record in records],
    }
    for name, count in counts.items():
        if f'{level}.{name}' in expected:
            rows.append(Difference.arrays(f'e2e {level} {name}', count, expected[f'{level}.{name}'], abs_tol=0))
    return rows


def _predict_file(inputs: GoldenInputs, content: Sam3iFile, token_ids: Tensor, level: Level) -> dict[Id, Kept]:
    """Predict every entry of `images` once, all in one batch; token ids int64 [B, L], one row for each entry."""
    names = sorted({image.file_name for image in content.images})
    side = inputs.input_side
    pixels = torch.stack([place_pixels(read_image(inputs.folder / name), Placement(side), side) for name in names])
    index = torch.tensor([names.index(image.file_name) for image in content.images])
    with torch.no_grad():
        vision = inputs.network.encode_image(pixels).select(index)
    found = predict(inputs.network, vision, token_ids, level)
    return {image.id: keep(found, row, image.size_hw, MIN_SCORE) for row, image in enumerate(content.images)}


def _token_ids(inputs: GoldenInputs, texts: Sequence[str], tokenizer: CLIPTokenizer | None) -> Tensor | None:
    """Return the token ids of texts, int64 [B, L]; None if some are not recorded and there is no tokenizer."""
    recorded = token_ids_by_text(inputs)
    if tokenizer is None and not recorded.keys() >= set(texts):
        return None
    rows = []
    for text in texts:
        known = recorded.get(text)
        if known is None and tokenizer is not None:
            known = torch.tensor(tokenize_text(tokenizer, text))
        rows.append(known)
    return torch.stack([row for row in rows if row is not None])


def token_ids_by_text(inputs: GoldenInputs) -> dict[str, Tensor]:
    """Return the recorded token ids of every text of `inputs.json`, so that no vocabulary is needed."""
    keys = {Level.CONCEPT: 'concept', Level.SIMPLE: 'simple_query', Level.COMPLEX: 'complex_query'}
    return {
        query[key][0]: row
        for level, key in keys.items()
        for query, row in zip(inputs.content['order'], inputs.token_ids(level), strict=True)
    }


def _compare_records(
    name: str, ours: Sequence[PredictionRecord], golden: Sequence[PredictionRecord], kept: Mapping[Id, Kept]
) -> list[Difference]:
    """Compare the records of one level, and the instances of each."""
    texts, golden_texts = (
        [
            json.dumps([each.annotation_id, each.image_id, each.file_name, each.prompt, each.prompt_type])
            for each in side
        ]
        for side in (ours, golden)
    )
    scores, golden_scores = ([score for each in side for score in each.scores] for side in (ours, golden))
    rows = [
        Difference.texts(f'{name} records', texts, golden_texts),
        Difference.arrays(f'{name} scores', scores, golden_scores, abs_tol=TOLERANCE),
    ]
    for record in golden:
        rows += compare_masks(name, kept[record.image_id], record.masks)
    return rows
