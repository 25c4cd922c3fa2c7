"""Compares what a forward pass of training gives: outputs of both kinds of queries in every layer, and their matching.

Notation: P prompts, T unique texts, K queries, N instances, C SAM3's hidden size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from instructsam_model.sam3i.network import Prediction
from instructsam_training.losses.sam3i.losses import DetectorLosses
from instructsam_training.losses.sam3i.matching import Pairs
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.forward import MASK_TOLERANCE, TOLERANCE


@dataclass(frozen=True)
class LevelRun:
    """A forward pass of one level with its losses.

    Attributes:
        prediction: of P prompts, with twice the queries.
        losses: of the level.
        projected: of T texts, [T, C].
    """

    prediction: Prediction
    losses: DetectorLosses
    projected: Tensor


def compare_outputs(
    name: str, run: LevelRun, golden: Mapping[str, Tensor], anchors: Tensor | None
) -> list[Difference | NotCompared]:
    """Compare every recorded output and every matching.

    Args:
        name: beginning of the names of the rows.
        run: of one level.
        golden: recorded tensors of this run.
        anchors: projections of the concepts, [T, C]; None if they are not recorded.
    """
    ours = dict(_outputs(run)) | {'proj_feat': run.projected.detach()}
    if anchors is not None:
        ours['concept_proj_feat'] = anchors.detach()
    pairs = {'indices': run.losses.matching.one_to_one[-1], 'o2m_indices': run.losses.matching.one_to_many[-1]}
    pairs |= {f'aux{layer}.indices': each for layer, each in enumerate(run.losses.matching.one_to_one[:-1])}
    rows: list[Difference | NotCompared] = []
    for key, expected in golden.items():
        row = f'{name} {re.sub("aux[0-9]+", "aux", key)}'
        matching, _, part = key.rpartition('.')
        if key in ours:
            tolerance = MASK_TOLERANCE if 'mask' in key or 'semantic' in key else TOLERANCE
            rows.append(Difference.arrays(row, ours[key], expected, abs_tol=tolerance))
        elif matching not in pairs:
            rows.append(NotCompared(f'{name}: {key}, not computed by this code'))
        elif part == '0':  # with .1 and .2, the other columns of the pairs
            own = _pair_texts(pairs[matching])
            rows.append(Difference.texts(row.removesuffix('.0'), own, _golden_pairs(golden, matching)))
    return rows


def _outputs(run: LevelRun) -> Iterator[tuple[str, Tensor]]:
    """Yield the outputs by their names in the files: of the last layer, and of the earlier ones as `aux<layer>`."""
    for suffix, part in zip(('', '_o2m'), run.prediction.split(), strict=True):
        last = len(part.score_logits) - 1
        for layer, (scores, boxes) in enumerate(zip(part.score_logits, part.boxes_cxcywh, strict=True)):
            prefix = '' if layer == last else f'aux{layer}.'
            yield f'{prefix}pred_logits{suffix}', scores.detach().unsqueeze(-1)
            yield f'{prefix}pred_boxes{suffix}', boxes.detach()
        yield f'pred_masks{suffix}', part.mask_logits.detach()
    for layer, logits in enumerate(run.prediction.presence_logits):
        prefix = '' if layer == len(run.prediction.presence_logits) - 1 else f'aux{layer}.'
        yield f'{prefix}presence_logit_dec', logits.detach().unsqueeze(-1)
    yield 'semantic_seg', run.prediction.region_logits.detach().unsqueeze(1)


def _pair_texts(pairs: Pairs) -> list[str]:
    rows = zip(pairs.prompt.tolist(), pairs.query.tolist(), pairs.instance.tolist(), strict=True)
    return [str(row) for row in sorted(rows)]


def _golden_pairs(golden: Mapping[str, Tensor], key: str) -> list[str]:
    prompts, queries = golden[f'{key}.0'].tolist(), golden[f'{key}.1'].tolist()
    # Without instances, the pairs are in the order of the packed instances.
    instances = golden[f'{key}.2'].tolist() if f'{key}.2' in golden else list(range(len(prompts)))
    return [str(row) for row in sorted(zip(prompts, queries, instances, strict=True))]
