"""A small InstructSAM with random weights in the published checkpoint layout, for training on the tabletop.

The architecture is the published one with smaller sizes; the tokenizer is trained on the texts of the training files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Sam3Config,
    Sam3ImageProcessor,
)

from instructsam_model.instructsam.build import TOKENS
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.config import ModelConfig, SpecialTokens, read_sam3_config
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.weights.tensor_files import check_tensors, find_tensors, iterate_tensors
from instructsam_training.families.instructsam.init import init_small_model
from instructsam_training.families.instructsam.initial_weights import init_reference_boxes

VOCABULARY_SIZE = 1024
SPECIAL_TOKENS = (
    '<|endoftext|>',
    '<|im_start|>',
    '<|im_end|>',
    '<|object_ref_start|>',
    '<|object_ref_end|>',
    '<|vision_start|>',
    '<|vision_end|>',
    '<|image_pad|>',
    '<|video_pad|>',
    '<REGION>',
    '[SEG]',
    '<|mask_start|>',
    '<|mask_end|>',
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    '{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}'
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SAM3_IMAGE_SIZE = 240
"""Width and height of SAM3's input, pixels."""
SAM3_PATCH = 12
"""20 x 20 patches and a mask grid of 40 x 40; half of the objects of a tabletop cover eight patches or fewer."""
SAM3_HIDDEN_SIZE = 64
SAM3_HEAD_SIZE = 32
"""Flash attention on CPUs is slow for sizes that are no multiple of 32."""
QWEN_PATCH = 12
"""An image token covers 2 x 2 patches, 24 x 24 pixels: 13 x 10 tokens at 320 x 240."""
INITIALIZER_RANGE = 0.05


def write_small_model(
    texts: Iterable[str], folder: Path, num_queries: int = 10, seed: int = 0, sam3: Path | None = None
) -> InstructSAM:
    """Write a checkpoint with random weights.

    Args:
        texts: texts to train the tokenizer on.
        folder: a new or empty folder.
        num_queries: number of mask queries per phrase (K).
        seed: random seed of the weights.
        sam3: folder of a small SAM3 that the detector is taken from, see `small_sam3`; None: random weights.

    Raises:
        CheckpointError: the folder is not empty, or the SAM3 cannot be used.
    """
    tokenizer = train_tokenizer(texts)
    config = small_config(tokenizer, num_queries)
    if sam3 is not None:
        config = replace(config, sam3=read_sam3_config(sam3 / 'config.json'))
    torch.manual_seed(seed)
    network = InstructSAM(config)
    init_reference_boxes(network)
    init_small_model(network)
    if sam3 is not None:
        load_detector(network, sam3)
    qwen_images = Qwen2VLImageProcessor(
        patch_size=QWEN_PATCH,
        merge_size=2,
        size={'shortest_edge': 64 * 64, 'longest_edge': 320 * 240},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    sam3_images = Sam3ImageProcessor(size={'height': SAM3_IMAGE_SIZE, 'width': SAM3_IMAGE_SIZE})
    preprocessor = Preprocessor(tokenizer, qwen_images, sam3_images, config.qwen.image_token_id)
    write_checkpoint(folder, network, preprocessor)
    return network


def load_detector(network: InstructSAM, sam3: Path) -> None:
    """Copy the parameters of the detector from a checkpoint of SAM3, whose text encoder has no place here.

    Raises:
        CheckpointError: a parameter is missing, or has another shape.
    """
    detector = network.model.grounding_model.model
    found = find_tensors(sam3)
    expected = {name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}
    check_tensors(sam3, {name: shape for name, (_, shape) in found.items() if name in expected}, expected)
    used = {name: found[name] for name in expected}
    detector.load_state_dict(dict(iterate_tensors(used, device=torch.device('cpu'), dtype=torch.float32)))


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, the kind of Qwen's, on texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token='<|im_end|>', pad_token='<|endoftext|>')
    fast.add_special_tokens({'additional_special_tokens': list(SPECIAL_TOKENS)})
    fast.chat_template = CHAT_TEMPLATE
    return fast


def small_config(tokenizer: PreTrainedTokenizerFast, num_queries: int) -> ModelConfig:
    """Return the configuration of the network: 7 million parameters."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    qwen = Qwen3VLConfig(
        text_config={
            'vocab_size': VOCABULARY_SIZE,
            'hidden_size': 192,
            'intermediate_size': 512,
            'num_hidden_layers': 6,
            'num_attention_heads': 3,
            'num_key_value_heads': 3,
            'head_dim': 64,
            'max_position_embeddings': 4096,
            'initializer_range': INITIALIZER_RANGE,
            'rope_parameters': {
                'rope_type': 'default',
                'rope_theta': 10_000.0,
                'mrope_interleaved': True,
                'mrope_section': [12, 10, 10],
            },
            'eos_token_id': ids['<|im_end|>'],
        },
        vision_config={
            'depth': 4,
            'hidden_size': 128,
            'intermediate_size': 384,
            'num_heads': 2,
            'out_hidden_size': 192,
            'patch_size': QWEN_PATCH,
            'num_position_embeddings': 1024,
            'deepstack_visual_indexes': [1, 2],
            'initializer_range': INITIALIZER_RANGE,
        },
        image_token_id=ids['<|image_pad|>'],
        video_token_id=ids['<|video_pad|>'],
        vision_start_token_id=ids['<|vision_start|>'],
        vision_end_token_id=ids['<|vision_end|>'],
        tie_word_embeddings=False,
    )
    tokens = SpecialTokens(**{role: ids[token] for role, token in TOKENS.items()})
    return ModelConfig(
        qwen, small_sam3_config(num_queries), num_queries, SAM3_HIDDEN_SIZE, tokens, stop_tokens=(ids['<|im_end|>'],)
    )


def small_sam3_config(num_queries: int) -> Sam3Config:
    """Return the configuration of SAM3 for images of 240 x 240 pixels and masks of 40 x 40."""
    patches = SAM3_IMAGE_SIZE // SAM3_PATCH
    detr = {
        'hidden_size': SAM3_HIDDEN_SIZE,
        'num_attention_heads': SAM3_HIDDEN_SIZE // SAM3_HEAD_SIZE,
        'intermediate_size': 256,
        'dropout': 0.0,
        'initializer_range': INITIALIZER_RANGE,
    }
    return Sam3Config(
        vision_config={
            'backbone_config': {
                'model_type': 'sam3_vit_model',
                'hidden_size': 128,
                'intermediate_size': 384,
                'num_hidden_layers': 6,
                'num_attention_heads': 2,
                'image_size': SAM3_IMAGE_SIZE,
                'pretrain_image_size': SAM3_IMAGE_SIZE,
                'patch_size': SAM3_PATCH,
                'window_size': patches // 4,
                'global_attn_indexes': [1, 3, 5],
                'initializer_range': INITIALIZER_RANGE,
            },
            'fpn_hidden_size': SAM3_HIDDEN_SIZE,
            'scale_factors': [2.0, 1.0, 0.5],
            'backbone_feature_sizes': [[2 * patches] * 2, [patches] * 2],
            'initializer_range': INITIALIZER_RANGE,
        },
        # Text and geometry encoder are never called, but they are part of the checkpoint layout.
        text_config={'model_type': 'clip_text_model', 'hidden_size': 32, 'num_hidden_layers': 1, 'vocab_size': 64},
        geometry_encoder_config={
            'hidden_size': SAM3_HIDDEN_SIZE,
            'num_layers': 1,
            'num_attention_heads': 4,
            'intermediate_size': 64,
        },
        detr_encoder_config={**detr, 'num_layers': 2},
        detr_decoder_config={**detr, 'num_layers': 3, 'num_queries': num_queries},
        mask_decoder_config={
            'hidden_size': SAM3_HIDDEN_SIZE,
            'num_attention_heads': SAM3_HIDDEN_SIZE // SAM3_HEAD_SIZE,
            'initializer_range': INITIALIZER_RANGE,
        },
        initializer_range=INITIALIZER_RANGE,
    )
