"""Parts of a checkpoint that contradict each other are refused when it is loaded.

Covers instructsam/tied_head.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from instructsam_model import CheckpointError, load_segmenter

EMBEDDING = 'model.language_model.embed_tokens.weight'


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


CONTRADICTIONS = {
    'query token': (
        'config.json',
        lambda content: content.update(seg_token_index=445),
        r'seg_token_index of config\.json is 445, but the tokenizer has \[SEG\] as 444',
    ),
    'phrase tokens swapped': (
        'config.json',
        lambda content: content.update(ref_start_token_index=433, ref_end_token_index=432),
        r'ref_start_token_index .* is 433, .* as 432; ref_end_token_index of config\.json is 432, but',
    ),
    'stop token': (
        'generation_config.json',
        lambda content: content.update(eos_token_id=[7]),
        r'eos_token_id of generation_config\.json is \[7\], but by .* an answer ends with <\|im_end\|>, 431',
    ),
    'size of SAM3 images': (
        'sam3/preprocessor_config.json',
        lambda content: content.update(size={'height': 112, 'width': 112}),
        r"image_size of SAM3's config\.json is 224, but the size of its image processor is 112 x 112",
    ),
}


@pytest.mark.parametrize('name', CONTRADICTIONS)
def test_contradiction_is_refused_with_both_values(name: str, checkpoint_copy: Path) -> None:
    file, change, message = CONTRADICTIONS[name]
    edit(checkpoint_copy / file, change)
    with pytest.raises(
        CheckpointError, match=f'{checkpoint_copy}: the files of this checkpoint contradict each other: {message}'
    ):
        load_segmenter(checkpoint_copy, device='cpu')


def test_patches_of_another_processor_are_refused(checkpoint_copy: Path) -> None:
    """That of Qwen2.5-VL has patches of 14 pixels."""
    [file] = [each for each in checkpoint_copy.glob('*processor_config.json') if 'patch_size' in each.read_text()]
    file.write_text(file.read_text().replace('"patch_size": 16', '"patch_size": 14'))
    with pytest.raises(
        CheckpointError, match=r'patch_size of config\.json is 16, but patch_size of the image processor is 14'
    ):
        load_segmenter(checkpoint_copy, device='cpu')


def test_head_beside_the_embedding_that_it_shares_must_be_the_same(checkpoint_copy: Path) -> None:
    edit(checkpoint_copy / 'config.json', lambda content: content.update(tie_word_embeddings=True))
    file = checkpoint_copy / 'model.safetensors'
    tensors = load_file(file)
    tensors['lm_head.weight'] = tensors[EMBEDDING].clone()
    save_file(tensors, file)
    network = load_segmenter(checkpoint_copy, device='cpu').network
    assert torch.equal(network.lm_head.weight, network.model.language_model.embed_tokens.weight)
    tensors['lm_head.weight'][3, 1] += 1
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=r'is true, but lm_head\.weight is stored and is not the token embedding'):
        load_segmenter(checkpoint_copy, device='cpu')


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_weights_that_are_not_finite_are_refused_by_name(value: str, checkpoint_copy: Path) -> None:
    tensors = load_file(checkpoint_copy / 'model.safetensors')
    tensors[EMBEDDING][3, 1] = float(value)
    save_file(tensors, checkpoint_copy / 'model.safetensors')
    with pytest.raises(CheckpointError, match=rf'model\.safetensors: {EMBEDDING} has values that are not finite'):
        load_segmenter(checkpoint_copy, device='cpu')
    tensors[EMBEDDING][3, 1] = 1e30
    save_file(tensors, checkpoint_copy / 'model.safetensors')
    with pytest.raises(CheckpointError, match=f'values of {EMBEDDING} are too large for torch.float16'):
        load_segmenter(checkpoint_copy, device='cpu', dtype='float16')
