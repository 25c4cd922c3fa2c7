"""A SAM3 of a few thousand parameters with random weights, in both layouts of checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPTokenizer, Sam3Config

from instructsam_model import load_segmenter
from instructsam_model.sam3.meta_weights import convert_tensors
from instructsam_model.sam3.segmenter import Sam3Segmenter
from tests.support import GOLDEN
from tests.support.meta_layout import meta_shapes, random_tensors

WORDS = ('red', 'mug', 'plate', 'the', 'blue', 'box', 'object', 'segment')
BEGIN, END = '<|startoftext|>', '<|endoftext|>'
PHRASE_TOKENS = 32


def write_tiny_sam3(folder: Path, *, model_type: str = 'sam3_video', seed: int = 0) -> Path:
    """Write a checkpoint in the layout of `facebook/sam3`, with or without the configuration of the video model."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _write_settings(folder, model_type)
    prefix = 'detector_model.' if model_type == 'sam3_video' else ''
    tensors = convert_tensors(_random(config, seed))
    stored = {f'{prefix}{name}': tensor.clone().contiguous() for name, tensor in tensors.items()}
    if prefix:
        stored['tracker_model.no_memory_embedding'] = torch.zeros(1)
    save_file(stored, folder / 'model.safetensors', metadata={'format': 'pt'})
    return folder


def write_tiny_meta(folder: Path, *, seed: int = 0) -> Path:
    """Write the same weights as Meta's `sam3.pt`, with the tokenizer and the tiny configuration beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _write_settings(folder, 'sam3')
    tensors = {f'detector.{name}': tensor for name, tensor in _random(config, seed).items()}
    torch.save({**tensors, 'tracker.maskmem_tpos_enc': torch.zeros(1)}, folder / 'sam3.pt')
    return folder


def load_tiny_sam3(folder: Path, *, device: str = 'cpu', dtype: str = 'float32', **options: Any) -> Sam3Segmenter:
    """Load one of these checkpoints."""
    segmenter = load_segmenter(folder, 'sam3', device, dtype, **options)
    assert isinstance(segmenter, Sam3Segmenter)
    return segmenter


def make_tokenizer() -> CLIPTokenizer:
    """Make a CLIP tokenizer that knows all bytes and `WORDS`."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f'{letter}</w>' for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f'{word[-1]}</w>']
        while len(parts) > 1:  # from the left, as byte-pair encoding joins them
            merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            tokens.append(parts[0])
    tokens = [*dict.fromkeys(tokens), BEGIN, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=list(dict.fromkeys(merges)), model_max_length=PHRASE_TOKENS)


def _write_settings(folder: Path, model_type: str) -> Sam3Config:
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    published = json.loads((GOLDEN / 'checkpoint' / 'sam3' / 'config.json').read_text())
    text = published['detector_config']['text_config']
    text |= {
        'vocab_size': len(tokenizer),
        'bos_token_id': len(tokenizer) - 2,
        'eos_token_id': len(tokenizer) - 1,
        'pad_token_id': len(tokenizer) - 1,
        'max_position_embeddings': PHRASE_TOKENS,
        'hidden_act': 'gelu',
        'num_hidden_layers': 2,
    }
    content = published if model_type == 'sam3_video' else published['detector_config']
    (folder / 'config.json').write_text(json.dumps(content))
    shutil.copy(GOLDEN / 'checkpoint' / 'sam3' / 'preprocessor_config.json', folder)
    return Sam3Config(**published['detector_config'])


def _random(config: Sam3Config, seed: int) -> dict[str, Tensor]:
    return random_tensors(meta_shapes(config), seed)
