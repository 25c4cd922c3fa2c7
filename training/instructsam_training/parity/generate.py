"""Parity of generation: `golden.json["generate"]` has images, instructions and the text of the public inference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from instructsam_model import Frame, Instruction
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.backend import load_instructsam
from instructsam_model.instructsam.prediction import Prediction
from instructsam_training.parity.forward import select_arrays
from instructsam_training.parity.report import Difference

MAX_NEW_TOKENS = 1024
"""The public implementation's limit."""
TOLERANCE = 1e-5
SCORE_TOLERANCE = 1e-4


def compare_generate(folder: Path, engine: str = 'eager') -> list[Difference]:
    """Run each instruction in `released` mode; compare the text, the queries, the masks and the scores.

    Raises:
        CheckpointError: the folder's checkpoint cannot be loaded.
        OSError: an image cannot be read.
    """
    entries = json.loads((folder / 'golden.json').read_text())['generate']
    # As the public inference does: one token at a time, up to its own limit.
    segmenter = load_instructsam(
        folder / 'checkpoint',
        device='cpu',
        dtype='float32',
        engine=engine,
        inference_mode='released',
        speculative_decoding=False,
        max_new_tokens=MAX_NEW_TOKENS,
    )
    texts: list[str] = []
    differences: list[Difference] = []
    with np.load(folder / 'golden.npz') as arrays:
        for index, entry in enumerate(entries):
            frame = Frame(read_image(folder / entry['image']))
            prediction = segmenter.predict(frame, Instruction(entry['instruction']))
            texts.append(prediction.answer)
            differences += compare_prediction(prediction, select_arrays(arrays, f'generate{index}_'))
    text_difference = Difference.texts('generate text', texts, [entry['text'] for entry in entries])
    return [text_difference, *differences]


def compare_prediction(prediction: Prediction, golden: Mapping[str, np.ndarray]) -> list[Difference]:
    """Compare the queries of one prediction; `golden` is empty if the public inference found no target."""
    if not golden:
        return [Difference.arrays('generate phrases', len(prediction.phrases), 0, abs_tol=0)]
    # (P, L, D): P phrases of at most L tokens.
    phrases, expected = prediction.phrase_embeds.numpy(), golden['text_embeds']
    # The public inference does not set the padding to zero, which no result depends on.
    if phrases.shape == expected.shape:
        expected = np.where(phrases.any(-1, keepdims=True), expected, 0)
    return [
        Difference.arrays('generate text_embeds', phrases, expected, abs_tol=TOLERANCE),
        Difference.arrays('generate query_embeds', prediction.query_embeds, golden['query_embeds'], abs_tol=TOLERANCE),
        Difference.arrays('generate pred_masks', prediction.mask_logits, golden['pred_masks'], rel_tol=TOLERANCE),
        Difference.arrays('generate scores', prediction.scores, golden['scores'], abs_tol=SCORE_TOLERANCE),
    ]
