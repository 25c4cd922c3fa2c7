"""Parity of training: outputs of both kinds of queries, matching, every loss term, and the gradients of the adapters.

`stage3_*` has two levels of the same queries with the losses between them; `stage1_notarget_*` one level with one more
query that has no target; `loss_cases.*` the losses between levels on random features, with odd sets of concepts.
Notation: P prompts, T unique texts, K queries, N instances.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from instructsam_model.sam3.features import Prompt
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.names import to_public
from instructsam_model.sam3i.network import Sam3I
from instructsam_training.config.sam3i_options import Sam3ILossOptions
from instructsam_training.losses.sam3i.losses import (
    EARLIER,
    MANY,
    DetectorLosses,
    TextFeatures,
    alignment_losses,
    detector_losses,
)
from instructsam_training.losses.sam3i.targets import InstructionTargets
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.data_path import read_batch
from instructsam_training.parity.sam3i.golden_files import Content, read_object, read_tensors
from instructsam_training.parity.sam3i.golden_inputs import GoldenInputs
from instructsam_training.parity.sam3i.loss_cases import compare_cases
from instructsam_training.parity.sam3i.training_outputs import LevelRun, compare_outputs

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-3
"""Relative, of each term and of each tensor."""
QUERY_KEYS = {'simple_query': Level.SIMPLE, 'simple': Level.SIMPLE, 'complex_query': Level.COMPLEX}
QUERY_KEYS |= {'complex': Level.COMPLEX}
STAGES = {'1_1': Level.SIMPLE, '1_2': Level.COMPLEX}
TERMS = {
    'loss_bbox': 'box_l1',
    'loss_giou': 'giou',
    'loss_ce': 'score',
    'presence_loss': 'presence',
    'loss_mask': 'mask',
    'loss_dice': 'dice',
    'loss_semantic_seg': 'region',
    'loss_semantic_dice': 'region_dice',
}
"""Public name of each term: ours. Public names end in `_aux_<layer>` and `_o2m`."""
ALIGNMENT = {'loss_kl': 'kl', 'loss_enhanced_seg': 'hard', 'loss_infonce': 'infonce', 'loss_margin': 'margin'}
ALWAYS_ZERO = re.compile(r'presence_loss(_aux_\d+)?_o2m|loss_semantic_presence')
"""Public terms that have no counterpart, because they are switched off."""
DIAGNOSTICS = re.compile(r'(ce_f1|presence_dec_acc|presence_acc|miou_semantic_seg)(_aux_\d+)?(_o2m)?')
"""What the public code logs beside the losses; not computed here."""
NO_TARGETS = 'it lacks targets, and the set lacks dataset.json, which has the same ones'
NOT_LOSSES = 'ce_f1, presence_acc, presence_dec_acc and miou_semantic_seg, which are logged and are no losses'


def compare_stage3(inputs: GoldenInputs) -> list[Difference | NotCompared]:
    """Compare two levels and the losses between them, in both roles of the levels.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    tensors = read_tensors(inputs.folder / 'stage3_tensors.safetensors')
    gradients = read_tensors(inputs.folder / 'stage3_grads_small.safetensors')
    roles = read_object(inputs.folder / 'stage3_losses.json')
    targets = read_targets(tensors, inputs)
    if targets is None:
        return [NotCompared(f'{tensors.file.name}: {NO_TARGETS}')]
    rows: list[Difference | NotCompared] = []
    for role, golden in roles.items():
        rows += _compare_role(inputs, golden, tensors, targets, f'{role}.')
        # Full gradients are recorded for one of the roles, the one with their norms.
        if gradients and role == min(roles, key=lambda each: _distance(gradients, roles[each]['grad_norms'])):
            rows += _compare_full_gradients(inputs.network, gradients)
    return [*rows, NotCompared(f'stage3_losses.json: {NOT_LOSSES}')]


def _compare_role(
    inputs: GoldenInputs,
    golden: Mapping[str, Any],
    tensors: Content[Tensor],
    targets: InstructionTargets,
    prefix: str,
) -> list[Difference | NotCompared]:
    recorded, network = golden['intermediate'], inputs.network
    index = first_of_each_text(tensors)
    network.zero_grad()
    # 1. Both levels, and the projections of their texts and concepts.
    levels = [QUERY_KEYS[recorded[key]] for key in ('main_query_type', 'ref_query_type')]
    runs = [run_level(inputs, inputs.token_ids(level), level, targets, inputs.image_index, index) for level in levels]
    concept_ids = inputs.token_ids(Level.CONCEPT)[index]
    anchors = network.project(network.encode_text(concept_ids, Level.CONCEPT), has_padding=True)
    features = TextFeatures(
        runs[0].projected, runs[1].projected, anchors, concept_numbers(recorded['concept_texts'], index)
    )
    # 2. The losses and their gradients.
    terms = alignment_losses(runs[0].prediction, runs[1].prediction, targets, features)
    weighted = {name: getattr(Sam3ILossOptions(), name) * term for name, term in terms.items()}
    total = torch.stack([*(run.losses.total for run in runs), *weighted.values()]).sum()
    torch.autograd.backward(total)
    # 3. What is recorded of them.
    rows: list[Difference | NotCompared] = []
    rows += _compare_terms('stage 3', runs[0].losses, golden['loss_main_call'], weighted)
    rows += _compare_terms('stage 3', runs[1].losses, golden['loss_ref_call'], {})
    rows += compare_alignment('stage 3', recorded, runs, features, targets)
    rows.append(_relative('stage 3 total', total, golden['total_core']))
    rows += _compare_gradients('stage 3', network, golden['grad_norms'])
    for part, run in zip(('main', 'ref'), runs, strict=True):
        rows += compare_outputs('stage 3', run, tensors.of(f'{prefix}{part}.'), anchors)
    return rows


def compare_stage1(inputs: GoldenInputs) -> list[Difference | NotCompared]:
    """Compare one level with a query that has no target.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    tensors, network = read_tensors(inputs.folder / 'stage1_notarget_tensors.safetensors'), inputs.network
    targets, index = read_targets(tensors, inputs), first_of_each_text(tensors)
    if targets is None:
        return [NotCompared(f'{tensors.file.name}: {NO_TARGETS}')]
    rows: list[Difference | NotCompared] = []
    for stage, golden in read_object(inputs.folder / 'stage1_notarget_losses.json').items():
        network.zero_grad()
        token_ids = torch.tensor(golden['token_ids'])  # of the unique texts, or of all prompts
        if len(token_ids) != len(tensors['img_ids']):
            token_ids = token_ids[tensors['text_ids']]
        run = run_level(inputs, token_ids, STAGES[stage], targets, tensors['img_ids'], index)
        torch.autograd.backward(run.losses.total)
        rows += _compare_terms('no target', run.losses, golden['loss'], {})
        rows += compare_outputs('no target', run, tensors.of(f'{stage}.'), None)
        rows += _compare_gradients('no target', network, golden['grad_norms'])
        without = sorted(name for name, gradient in _gradients(network).items() if gradient is None)
        rows.append(Difference.texts('no target without gradient', without, sorted(golden['no_grad'])))
    return [*rows, NotCompared(f'stage1_notarget_losses.json: {NOT_LOSSES}')]


def run_level(
    inputs: GoldenInputs,
    token_ids: Tensor,
    level: Level,
    targets: InstructionTargets,
    image_index: Tensor,
    text_rows: Tensor,
) -> LevelRun:
    """Run the network as in training, with one-to-many queries, and compute the losses of one level.

    Args:
        inputs: of the set.
        token_ids: of the P prompts, int64 [P, L].
        level: of all texts.
        targets: of the P prompts.
        image_index: image of each prompt, int64 [P].
        text_rows: a prompt of each of the T unique texts, int64 [T].
    """
    # Dropout is 0 in the golden sets; adapters take other kernels in training mode than in evaluation mode.
    network = inputs.network.train()
    text = network.encode_text(token_ids, level)
    prediction = network(inputs.vision.select(image_index), text, level, has_one_to_many=True)
    losses = detector_losses(prediction, targets, Sam3ILossOptions(), max(1.0, sum(targets.counts)))
    projected = network.project(Prompt(text.features[text_rows], text.mask[text_rows]), has_padding=True)
    network.eval()
    return LevelRun(prediction, losses, projected)


def read_targets(tensors: Content[Tensor], inputs: GoldenInputs) -> InstructionTargets | None:
    """Return the recorded targets, packed in the order of the prompts.

    What a set lacks of them, such as the masks, which are large, is that of `dataset.json`, which has the same targets.

    Returns:
        None if the set lacks this file as well.

    Raises:
        ValueError: the targets of `dataset.json` are others than the recorded ones.
    """
    names = ('target.num_boxes', 'target.boxes', 'target.masks')
    found = {name: tensors[name] for name in names if name in tensors}
    if len(found) < len(names):
        if not (inputs.folder / 'dataset.json').is_file():
            return None
        batch = read_batch(inputs.folder, inputs.content['order'])
        own = dict(zip(names, (batch.target_counts, batch.boxes_cxcywh, batch.masks), strict=True))
        boxes = found.get('target.boxes', own['target.boxes'])
        if boxes.shape != own['target.boxes'].shape or not torch.allclose(boxes, own['target.boxes'], atol=1e-3):
            raise ValueError(f'{tensors.file}: expected target.boxes of the targets in dataset.json, got other boxes')
        found = {**own, **found}
    counts, boxes, masks = (found[name] for name in names)
    return InstructionTargets(tuple(counts.tolist()), boxes, masks)


def first_of_each_text(tensors: Content[Tensor]) -> Tensor:
    """Return the first prompt of each unique text, int64 [T]."""
    text_ids = tensors['text_ids'].tolist()
    return torch.tensor([text_ids.index(text) for text in sorted(set(text_ids))])


def concept_numbers(concepts: Sequence[str], text_rows: Tensor) -> list[int]:
    """Return a number for the concept of each of the T texts; those that differ in upper case only have the same one.

    Args:
        concepts: of the texts, or of all prompts.
        text_rows: a prompt of each text, int64 [T].
    """
    if len(concepts) != len(text_rows):
        concepts = [concepts[row] for row in text_rows.tolist()]
    keys = [concept.lower() for concept in concepts]
    return [keys.index(key) for key in keys]


def compare_alignment(
    name: str,
    golden: Mapping[str, Any],
    runs: Sequence[LevelRun],
    features: TextFeatures,
    targets: InstructionTargets,
) -> list[Difference]:
    """Compare the terms between two levels, each direction of them where both are recorded."""
    first, second = (run.prediction.region_logits for run in runs)
    return compare_cases(name, golden, first, second, features, targets.unions())


def _compare_terms(
    name: str, losses: DetectorLosses, golden: Mapping[str, float], weighted: Mapping[str, Tensor]
) -> list[Difference]:
    """Compare every logged term of one level; `weighted` has the terms between the levels, logged with the first."""
    rows = []
    for key, value in golden.items():
        if DIAGNOSTICS.fullmatch(key):
            continue
        if key == 'core_loss':
            total = torch.stack([losses.total, *weighted.values()]).sum()
            rows.append(_relative(f'{name} core_loss', total, value))
        elif ALWAYS_ZERO.fullmatch(key):
            rows.append(Difference.arrays(f'{name} switched off', 0.0, value, abs_tol=0))
        elif key in ALIGNMENT:
            rows.append(_relative(f'{name} {key}', weighted[ALIGNMENT[key]], value))
        else:
            # Terms of one-to-many queries are logged with their factor.
            factor = Sam3ILossOptions().one_to_many if key.endswith('_o2m') else 1.0
            term = factor * losses.terms.get(own_term(key), torch.tensor(torch.nan))
            # The public log adds two of the terms between the levels to this one.
            extra = weighted['kl'] + weighted['hard'] if key == 'loss_semantic_seg' and weighted else 0.0
            rows.append(_relative(f'{name} {re.sub("_aux_[0-9]+", "_aux", key)}', term + extra, value))
    return rows


def own_term(key: str) -> str:
    """Return our name of a public term.

    Raises:
        ValueError: it is unknown.
    """
    match = re.fullmatch(r'(.+?)(_aux_(\d+))?(_o2m)?', key)
    if match is None or match[1] not in TERMS:
        raise ValueError(f'losses: expected terms of {", ".join(TERMS)}, got {key!r}')
    return TERMS[match[1]] + (MANY if match[4] else '') + (f'{EARLIER}{match[3]}' if match[2] else '')


def _gradients(network: Sam3I) -> dict[str, Tensor | None]:
    return {to_public(name): parameter.grad for name, parameter in network.adapters.named_parameters()}


def _compare_gradients(name: str, network: Sam3I, golden: Mapping[str, float]) -> list[Difference]:
    gradients = _gradients(network)
    norms = {key: each.norm().item() for key, each in gradients.items() if each is not None}
    # Each norm by itself: a small one must not hide behind a large one.
    rows = [
        Difference.arrays(f'{name} gradient norms', norms.get(key, math.nan), value, rel_tol=GRADIENT_TOLERANCE)
        for key, value in golden.items()
    ]
    return [*rows, Difference.texts(f'{name} with gradient', sorted(norms), sorted(golden))]


def _compare_full_gradients(network: Sam3I, golden: Mapping[str, Tensor]) -> list[Difference]:
    gradients, rows = _gradients(network), []
    for key, each in golden.items():
        ours = gradients.get(key.removeprefix('grad.'))
        found = torch.full_like(each, torch.nan) if ours is None else ours
        rows.append(Difference.arrays('stage 3 gradients', found, each, rel_tol=GRADIENT_TOLERANCE))
    return rows


def _distance(gradients: Mapping[str, Tensor], norms: Mapping[str, float]) -> float:
    """Return the sum of the differences between the norms of gradients and recorded ones."""
    return math.fsum(
        abs(each.norm().item() - norms.get(key.removeprefix('grad.'), math.inf)) for key, each in gradients.items()
    )


def _relative(name: str, ours: Tensor, golden: float) -> Difference:
    return Difference.arrays(name, ours.item(), golden, rel_tol=LOSS_TOLERANCE)
