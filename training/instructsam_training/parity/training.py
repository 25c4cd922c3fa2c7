"""Parity of training: tokens and labels of golden conversations, and losses with the released loss weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model.instructsam.backend import load_instructsam
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import decode_mask
from instructsam_training.config.loss_options import PRESETS
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.data.encode import encode_conversation
from instructsam_training.data.sample import clean_phrase
from instructsam_training.data.targets import PhraseTarget, stack_targets
from instructsam_training.losses.losses import compute_losses, total_loss
from instructsam_training.parity.forward import PHRASE_START, golden_inputs, select_arrays
from instructsam_training.parity.report import Difference

TOLERANCE = 1e-4


def compare_training(folder: Path) -> list[Difference]:
    """Encode each golden conversation and compute its losses.

    Raises:
        CheckpointError: the folder's checkpoint cannot be loaded.
        OSError: an image cannot be read.
        ValueError: a conversation's phrase has no annotation in train.json.
    """
    golden = json.loads((folder / 'golden.json').read_text())
    records = json.loads((folder / 'train.json').read_text())
    segmenter = load_instructsam(folder / 'checkpoint', device='cpu', dtype='float32')
    differences: list[Difference] = []
    with np.load(folder / 'golden.npz') as arrays, torch.inference_mode():
        for index, entry in enumerate(golden['forward']):
            tensors = select_arrays(arrays, f'forward{index}_')
            differences += compare_encoding(entry, tensors, segmenter)
            differences += compare_losses(folder, entry, tensors, records[entry['record']], segmenter)
    return differences


def compare_encoding(
    entry: Mapping[str, Any], golden: Mapping[str, np.ndarray], segmenter: InstructSAMSegmenter
) -> list[Difference]:
    """Compare the tokens, labels and phrase tokens of a conversation."""
    preprocessor, config = segmenter.preprocessor, segmenter.network.config
    turns = tuple(read_turns(entry['text'], preprocessor))
    prefix = preprocessor.image_prefix(torch.tensor(entry['image_grid_thw']))
    encoding = encode_conversation(turns, prefix, preprocessor, config)
    # The golden text has a start token before each phrase, which `Preprocessor.text` would take for text.
    phrases = preprocessor.tokenizer(entry['phrase_text'], add_special_tokens=False).input_ids
    ours = [token for ids in encoding.phrase_ids for token in (config.tokens.ref_start, *ids)]
    return [
        Difference.arrays('training input_ids', encoding.input_ids, golden['input_ids'], abs_tol=0),
        Difference.arrays('training labels', encoding.labels, golden['labels'], abs_tol=0),
        Difference.arrays('training phrase_ids', ours, phrases, abs_tol=0),
    ]


def read_turns(text: str, preprocessor: Preprocessor) -> Iterator[Turn]:
    """Yield the turns of a rendered conversation."""
    prompt = preprocessor.prompt
    first, user, assistant, end = (
        preprocessor.decode(ids)
        for ids in (
            (*prompt.before_image, *prompt.after_image),
            prompt.next_question,
            prompt.after_text,
            prompt.answer_end,
        )
    )
    # The first question has the image before it; after that, all turns look alike.
    for part in text.replace(first, user, 1).split(user)[1:]:
        question, answer = part.removesuffix(end).split(assistant)
        phrases = [piece.split('<|object_ref_end|>')[0] for piece in answer.split(PHRASE_START)[1:]]
        yield Turn(question, tuple(Span(phrase) for phrase in phrases))


def compare_losses(
    folder: Path,
    entry: Mapping[str, Any],
    golden: Mapping[str, np.ndarray],
    record: Mapping[str, Any],
    segmenter: InstructSAMSegmenter,
) -> list[Difference]:
    """Compare every loss, with the options `losses: released` and without point sampling."""
    options = replace(PRESETS['released'], points=None)
    labels = torch.from_numpy(golden['labels']).long().unsqueeze(0)
    # The token at position i predicts the label of position i + 1; the last one predicts nothing.
    logit_mask = F.pad(labels[:, 1:] >= 0, (0, 1))
    inputs = replace(golden_inputs(folder, entry, golden, segmenter.preprocessor), logit_mask=logit_mask)
    prediction = segmenter.network(inputs)
    grid = prediction.mask_logits.shape[-2:]
    phrases = entry['phrase_text'].split(PHRASE_START)[1:]
    targets = [PhraseTarget(resize_masks(masks_of(phrase, record), grid)) for phrase in phrases]
    answer_ids = labels[:, 1:][labels[:, 1:] >= 0]
    terms = compute_losses(prediction, answer_ids, stack_targets(targets, grid), options)
    # The public implementation reports weighted means, `compute_losses` returns sums and counts.
    means = {name: getattr(options, name) * terms.sums[name] / max(terms.counts[name], 1) for name in terms.sums}
    ours = {
        'ce_loss': means['text'],
        'mask_bce_loss': means['bce'],
        'mask_dice_loss': means['dice'],
        'cls_loss': means['score'],
        'loss': total_loss(terms, terms.counts, options),
    }
    return [
        Difference.arrays(f'training {name}', value, entry[name], abs_tol=TOLERANCE) for name, value in ours.items()
    ]


def masks_of(phrase: str, record: Mapping[str, Any]) -> Tensor:
    """Return the instance masks [N, H, W] of a phrase in a published training record.

    Raises:
        ValueError: no annotation has the phrase.
    """
    annotations = record['annotation']
    # Published records have the annotations as a list, or as the JSON of a list.
    annotations = json.loads(annotations) if isinstance(annotations, str) else annotations
    size_hw = (record['height'], record['width'])
    for annotation in annotations:
        # The phrase of an instruction is its category; a name is cleaned.
        sentence = annotation['type'] == 'sentence'
        if phrase in (annotation['category'] if sentence else clean_phrase(annotation['text']), annotation['text']):
            masks = [decode_mask(mask, size_hw) for mask in annotation['ann'] or []]
            return torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, *size_hw)
    raise ValueError(f'train.json: expected an annotation of {phrase!r}, found none in the record of {record["image"]}')


def resize_masks(masks: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize masks [N, H, W] to the mask grid: [N, h, w] of 0 and 1."""
    return F.interpolate(masks.float().unsqueeze(1), size=size_hw, mode='nearest').squeeze(1)
