"""A small SAM3 in the layout of `facebook/sam3`: the detector of a small InstructSAM, with a new text encoder.

The text encoder, the geometry token and the presence token have random weights: an InstructSAM has none of them. The
tokenizer is CLIP's kind of BPE, trained on the texts that the encoder shall read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer, Sam3Config, Sam3ImageProcessor, Sam3Model

from instructsam_model.errors import CheckpointError
from instructsam_model.files import write_atomically
from instructsam_model.instructsam.checkpoint import read_model_config, resolve_sam3
from instructsam_model.sam3.checkpoint import META_LAYER_NORM_EPS
from instructsam_model.sam3.phrase_tokens import PHRASE_TOKENS
from instructsam_model.weights.tensor_files import find_tensors, iterate_tensors

DETECTOR = 'model.grounding_model.model.'
"""Prefix of SAM3's tensors in an InstructSAM."""
NEW = ('text_encoder.', 'text_projection.', 'geometry_encoder.', 'detr_decoder.presence_')
"""Prefixes of the parameters that keep their random values."""
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What CLIP's tokenizer splits a text into before the byte-pair encoding."""
END_OF_WORD = '</w>'
BEGIN, END = '<|startoftext|>', '<|endoftext|>'
VOCABULARY_SIZE = 1400
TEXT_HIDDEN_SIZE = 64
TEXT_LAYERS = 3


def write_small_sam3(texts: Iterable[str], source: Path, folder: Path, seed: int = 0) -> Sam3Model:
    """Write a checkpoint of SAM3 that is to be trained by phrases.

    Args:
        texts: texts to train the tokenizer on.
        source: folder of the InstructSAM that the detector is taken from.
        folder: a new or empty folder.
        seed: random seed of the new parameters.

    Raises:
        CheckpointError: the source is no InstructSAM, or the folder is not empty.
        OSError: the folder cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f'{folder}: expected a new or empty folder; a checkpoint is never written over another')
    tokenizer = train_clip_tokenizer(texts)
    config = with_text_encoder(read_model_config(source, resolve_sam3(source)).sam3, tokenizer)
    torch.manual_seed(seed)
    network = Sam3Model(config)
    network.load_state_dict(network.state_dict() | read_detector_tensors(source, network))
    with write_atomically(folder) as draft:
        draft.mkdir()
        tokenizer.save_pretrained(draft)
        config.save_pretrained(draft)
        side = config.vision_config.backbone_config.image_size
        Sam3ImageProcessor(size={'height': side, 'width': side}).save_pretrained(draft)
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, draft / 'model.safetensors', metadata={'format': 'pt'})
    return network


def read_detector_tensors(source: Path, network: Sam3Model) -> dict[str, Tensor]:
    """Return the parameters of an InstructSAM's detector by their names in SAM3.

    Raises:
        CheckpointError: the names or shapes differ, apart from those of `NEW`.
    """
    found = {name.removeprefix(DETECTOR): place for name, place in find_tensors(source).items() if DETECTOR in name}
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if not name.startswith(NEW)}
    given = {name: shape for name, (_, shape) in found.items() if not name.startswith(NEW)}
    if wrong := sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)):
        first = wrong[0]
        raise CheckpointError(
            f'{source}: expected the detector of an InstructSAM, {len(wrong)} tensors differ; the first, {first}: '
            f'expected {expected.get(first)}, found {given.get(first)}'
        )
    stored = {f'{DETECTOR}{name}': found[name] for name in expected}
    tensors = iterate_tensors(stored, device=torch.device('cpu'), dtype=torch.float32)
    return {name.removeprefix(DETECTOR): tensor for name, tensor in tensors}


def with_text_encoder(config: Sam3Config, tokenizer: CLIPTokenizer) -> Sam3Config:
    """Return the configuration with a text encoder for a tokenizer, and the epsilon of Meta's layer norms."""
    content = config.to_dict()
    content['text_config'] = {
        'model_type': 'clip_text_model',
        'vocab_size': len(tokenizer),
        'hidden_size': TEXT_HIDDEN_SIZE,
        'intermediate_size': 4 * TEXT_HIDDEN_SIZE,
        'num_hidden_layers': TEXT_LAYERS,
        'num_attention_heads': 4,
        'max_position_embeddings': PHRASE_TOKENS,
        'hidden_act': 'gelu',
        'bos_token_id': tokenizer.bos_token_id,
        'eos_token_id': tokenizer.eos_token_id,
        'pad_token_id': tokenizer.pad_token_id,
    }
    content['vision_config']['backbone_config']['layer_norm_eps'] = META_LAYER_NORM_EPS
    return Sam3Config(**content)


def train_clip_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """Train a tokenizer of CLIP's kind: lower case, and a sign at the end of each word."""
    trained = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = pre_tokenizers.Split(Regex(WORDS), 'removed', invert=True)
    trained.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    # The base vocabulary of CLIP's tokenizer is every byte, and every byte at the end of a word.
    base = [*letters, *(f'{letter}{END_OF_WORD}' for letter in letters)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(letters),
        initial_alphabet=letters,
        show_progress=False,
        end_of_word_suffix=END_OF_WORD,
    )
    trained.train_from_iterator((text.lower() for text in texts), trainer)
    merges = [tuple(pair) for pair in json.loads(trained.to_str())['model']['merges']]
    tokens = list(dict.fromkeys([*base, *(''.join(pair) for pair in merges), BEGIN, END]))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=PHRASE_TOKENS)
