"""Parity of the forward pass: `golden.json["forward"]` has images and conversations, `golden.npz` the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from instructsam_model import Frame
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.attention import hybrid_attention_mask
from instructsam_model.instructsam.backend import load_instructsam
from instructsam_model.instructsam.inputs import ModelInputs, Pixels
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import MAX_PHRASE_TOKENS, Preprocessor
from instructsam_training.parity.report import Difference

PHRASE_START = '<|object_ref_start|>'
TOLERANCE = 1e-5
PIXEL_TOLERANCE = 1e-9
"""Relative, of sums in double precision; the pixels themselves are equal."""


def compare_forward(folder: Path) -> list[Difference]:
    """Repeat each teacher-forced pass; compare pixels, positions, attention mask, queries, masks, scores and boxes.

    Raises:
        CheckpointError: the folder's checkpoint cannot be loaded.
        OSError: an image cannot be read.
    """
    entries = json.loads((folder / 'golden.json').read_text())['forward']
    segmenter = load_instructsam(folder / 'checkpoint', device='cpu', dtype='float32')
    differences: list[Difference] = []
    with np.load(folder / 'golden.npz') as arrays, torch.inference_mode():
        for index, entry in enumerate(entries):
            golden = select_arrays(arrays, f'forward{index}_')
            inputs = golden_inputs(folder, entry, golden, segmenter.preprocessor)
            differences += compare_inputs(segmenter.network, inputs, golden)
            differences += compare_outputs(segmenter.network, inputs, golden)
    return differences


def select_arrays(arrays: NpzFile, prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names have a prefix, by name without it."""
    return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def golden_inputs(
    folder: Path, entry: Mapping[str, Any], golden: Mapping[str, np.ndarray], preprocessor: Preprocessor
) -> ModelInputs:
    """Return the tokens of the golden conversation, and the image resized to the golden grid of patches."""
    frame = Frame(read_image(folder / entry['image']))
    # The text has the phrases one after the other, each behind its start token.
    phrases = [preprocessor.text(phrase) for phrase in entry['phrase_text'].split(PHRASE_START)[1:]]
    phrase_ids = torch.zeros(len(phrases), MAX_PHRASE_TOKENS, dtype=torch.long)
    phrase_mask = torch.zeros(len(phrases), MAX_PHRASE_TOKENS, dtype=torch.bool)
    # Phrases are cut to the same length and padded with 0, as in training.
    for row, ids in enumerate(phrases):
        kept = ids[:MAX_PHRASE_TOKENS]
        phrase_ids[row, : len(kept)] = torch.tensor(kept)
        phrase_mask[row, : len(kept)] = True
    # The golden tokens have no batch axis: (L,) becomes (1, L).
    input_ids = torch.from_numpy(golden['input_ids']).long().unsqueeze(0)
    return ModelInputs(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids, dtype=torch.bool),
        pixels=golden_pixels(frame, entry['image_grid_thw'][0], preprocessor),
        phrase_ids=phrase_ids,
        phrase_mask=phrase_mask,
        phrase_owner=torch.zeros(len(phrases), dtype=torch.long),
    )


def golden_pixels(frame: Frame, grid_thw: list[int], preprocessor: Preprocessor) -> Pixels:
    """Return the pixels resized to a given grid: training limits the image size differently from the checkpoint."""
    processor = preprocessor.qwen_images
    # The grid (T, H, W) counts patches; the pixels of an image are resized to fill it.
    size_hw = [side * processor.patch_size for side in grid_thw[1:]]
    image_chw = torch.from_numpy(frame.image_rgb).permute(2, 0, 1)
    resized = resize(image_chw, size_hw, interpolation=InterpolationMode.BICUBIC, antialias=True)
    qwen = processor(images=[resized], do_resize=False, input_data_format='channels_first', return_tensors='pt')
    sam3 = preprocessor.pixels(frame, torch.device('cpu')).sam3
    return Pixels(qwen['pixel_values'], qwen['image_grid_thw'], sam3)


def compare_inputs(network: InstructSAM, inputs: ModelInputs, golden: Mapping[str, np.ndarray]) -> list[Difference]:
    """Compare the inputs of the network: pixels, M-RoPE positions and attention mask."""
    pixels = inputs.pixels
    # The golden file has the sums of the pixels, not the pixels.
    sums = [pixels.sam3.double().sum().item(), pixels.qwen.double().sum().item()]
    # (3, B, L): M-RoPE has a position for time, height and width; all are compared.
    positions = network.lay_out(inputs).positions
    is_query = inputs.input_ids == network.config.tokens.query
    mask = hybrid_attention_mask(is_query, inputs.attention_mask)[0, 0]
    return [
        Difference.arrays('forward pixels', sums, golden['sam_pixel_sum'], rel_tol=PIXEL_TOLERANCE),
        Difference.arrays('forward position_ids', positions[:, 0], golden['position_ids'], abs_tol=0),
        Difference.arrays('forward hybrid mask', mask, mask_by_definition(is_query[0]), abs_tol=0),
    ]


def mask_by_definition(is_query: Tensor) -> np.ndarray:
    """Return the hybrid attention mask, bool (L, L), computed from its definition, one pair of tokens at a time.

    A token sees all earlier tokens, and a query also the later queries of its block.
    """
    flags = is_query.tolist()
    length = len(flags)
    # Number of the block of queries that each token is in, from 1; 0 for other tokens.
    block = [0] * length
    for index, flag in enumerate(flags):
        continues = index > 0 and flags[index - 1]
        block[index] = (block[index - 1] if continues else max(block) + 1) if flag else 0
    return np.array(
        [
            [column <= row or (block[row] > 0 and block[row] == block[column]) for column in range(length)]
            for row in range(length)
        ]
    )


def compare_outputs(network: InstructSAM, inputs: ModelInputs, golden: Mapping[str, np.ndarray]) -> list[Difference]:
    """Compare the outputs of the network."""
    prediction = network(inputs)
    ours = {
        'query_states': prediction.query_states.flatten(0, 1),
        'query_embeds': prediction.query_embeds,
        'text_embeds': prediction.phrase_embeds,
        'pred_logits': prediction.score_logits,
        'pred_boxes': prediction.box_xyxy,
    }
    rows = [
        Difference.arrays(f'forward {name}', tensor, golden[name], abs_tol=TOLERANCE) for name, tensor in ours.items()
    ]
    # Mask logits reach the hundreds, so that their difference is relative.
    masks = Difference.arrays('forward pred_masks', prediction.mask_logits, golden['pred_masks'], rel_tol=TOLERANCE)
    return [*rows, masks]
