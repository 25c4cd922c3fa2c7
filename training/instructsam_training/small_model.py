"""A small InstructSAM with random weights, in the published layout: what the tabletop's training starts from.

python -m instructsam_training.small_model FILE... --out FOLDER

The architecture is the published one with other numbers; the words of the tokenizer are those of the training files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Sam3Config,
    Sam3ImageProcessor,
    Sam3Model,
)

from instructsam_model.build import TOKENS
from instructsam_model.checkpoint import write_checkpoint
from instructsam_model.config import ModelConfig, SpecialTokens
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.grounding import GroundingModel
from instructsam_model.network import InstructSAM
from instructsam_model.preprocess import Preprocessor
from instructsam_training.datasets.published import read_published
from instructsam_training.sample import SkipReport
from instructsam_training.start import spread_references
from instructsam_training.templates import PHRASE_QUESTIONS, SEVERAL_QUESTIONS

VOCABULARY = 1024
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
SIDE = 240
"""Of SAM3's input, pixels."""
SAM3_PATCH = 20
"""12 patches a side, and a mask grid of 48."""
WIDTH = 64
"""SAM3's hidden size."""
HEAD = 32
"""Of SAM3's attention; the flash attention of CPUs is slow for widths that are no multiple of it."""
QWEN_PATCH = 12
"""A token of the language model is a square of two patches, 24 pixels: 13 x 10 of them at 320 x 240."""
INITIALIZER = 0.05
OUTSIDE = 6.0
"""How steeply the attention of slots falls, at first, outside of their boxes."""
QUIET = 0.35
"""What a slot sees is much the same for all slots at first, and shall not drown what tells them apart."""
WAVE_BASE = 30.0
"""Between the frequencies of the shortest and of the longest wave of a position embedding."""
SHORTEST_GRID = 15
"""On a grid of this side the shortest wave has 2 pi patches."""


def write_small_model(texts: Iterable[str], folder: Path, num_queries: int = 10, seed: int = 0) -> InstructSAM:
    """Write a checkpoint with random weights.

    Args:
        texts: everything that the tokenizer shall know words of.
        folder: must not exist, or be empty.
        num_queries: K.
        seed: of the weights.

    Raises:
        CheckpointError: the folder is not empty.
    """
    tokenizer = train_tokenizer(texts)
    config = small_config(tokenizer, num_queries)
    torch.manual_seed(seed)
    network = InstructSAM(config)
    let_words_be_heard(network)
    let_places_be_seen(network)
    nn.init.normal_(network.model.mask_queries)  # the published start, equal rows, takes long to come apart
    spread_references(network)
    let_features_be_alike(network.model.grounding_model)
    let_slots_look_into_their_boxes(network.model.grounding_model.model)
    qwen_images = Qwen2VLImageProcessor(
        patch_size=QWEN_PATCH,
        merge_size=2,
        size={'shortest_edge': 64 * 64, 'longest_edge': 320 * 240},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    sam3_images = Sam3ImageProcessor(size={'height': SIDE, 'width': SIDE})
    preprocessor = Preprocessor(tokenizer, qwen_images, sam3_images, config.qwen.image_token_id)
    write_checkpoint(folder, network, preprocessor)
    return network


@torch.no_grad()
def let_words_be_heard(network: InstructSAM) -> None:
    """Make phrases about as large as the image features that they meet in SAM3; they would be a tenth of that."""
    nn.init.normal_(network.model.language_model.embed_tokens.weight)
    for projection in (*network.model.text_hidden_fcs, *network.model.mask_hidden_fcs):
        for layer in (projection[0], projection[2]):
            nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')


@torch.no_grad()
def let_places_be_seen(network: InstructSAM) -> None:
    """Start the learnt position embeddings as waves: places that are near each other look alike."""
    backbone = network.model.grounding_model.model.vision_encoder.backbone
    for embedding in (backbone.embeddings.position_embeddings, network.model.visual.pos_embed.weight):
        side = round(embedding.shape[-2] ** 0.5)
        embedding.copy_(waves(side, embedding.shape[-1]).view_as(embedding))


@torch.no_grad()
def let_features_be_alike(grounding: GroundingModel) -> None:
    """Start all levels of SAM3's features with a variance of 1, seen on noise (LSUV, Mishkin and Matas, 2016).

    Where the coarsest is larger, attention to it drowns what tells the slots apart; where it is smaller, masks are.
    """
    noise = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for level, features in zip(
        grounding.model.vision_encoder.neck.fpn_layers, grounding.encode(noise).maps, strict=False
    ):
        level.proj2.weight /= features.std()
        level.proj2.bias /= features.std()


@torch.no_grad()
def let_slots_look_into_their_boxes(sam3: Sam3Model) -> None:
    """Start SAM3's decoder as DETR's is started, its attention inside the slots' boxes, and the boxes where they are.

    With small random weights all slots see the mean of the whole picture, and it takes long until they come apart.
    """
    decoder = sam3.detr_decoder
    for part in (decoder, sam3.mask_decoder.mask_embedder, sam3.dot_product_scoring):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
    for layer in decoder.layers:
        layer.vision_cross_attn.o_proj.weight *= QUIET
    for bias in (decoder.box_rpb_embed_x, decoder.box_rpb_embed_y):
        # The inputs are signed distances from both edges of a box; the first two units measure how far outside.
        bias.layer1.weight[:2] = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
        bias.layer2.weight[:, :2] = -OUTSIDE
    nn.init.zeros_(decoder.box_head.layer3.weight)


def waves(side: int, width: int) -> Tensor:
    """Sines and cosines of the rows and columns of a square grid, [side * side, width]."""
    frequencies = WAVE_BASE ** -torch.linspace(0, 1, width // 4)
    angles = torch.arange(side).unsqueeze(1) * frequencies * (SHORTEST_GRID / side)
    along = torch.cat([angles.sin(), angles.cos()], dim=1)  # [side, width / 2]
    rows, columns = along.repeat_interleave(side, dim=0), along.repeat(side, 1)
    return torch.cat([rows, columns], dim=1)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, as Qwen's, that has learnt from `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token='<|im_end|>', pad_token='<|endoftext|>')
    fast.add_special_tokens({'additional_special_tokens': list(SPECIAL_TOKENS)})
    fast.chat_template = CHAT_TEMPLATE
    return fast


def small_config(tokenizer: PreTrainedTokenizerFast, num_queries: int) -> ModelConfig:
    """The architecture: 8 million parameters."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    qwen = Qwen3VLConfig(
        text_config={
            'vocab_size': VOCABULARY,
            'hidden_size': 192,
            'intermediate_size': 512,
            'num_hidden_layers': 6,
            'num_attention_heads': 3,
            'num_key_value_heads': 3,
            'head_dim': 64,
            'max_position_embeddings': 4096,
            'initializer_range': INITIALIZER,
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
            'initializer_range': INITIALIZER,
        },
        image_token_id=ids['<|image_pad|>'],
        video_token_id=ids['<|video_pad|>'],
        vision_start_token_id=ids['<|vision_start|>'],
        vision_end_token_id=ids['<|vision_end|>'],
        tie_word_embeddings=False,
    )
    tokens = SpecialTokens(**{role: ids[token] for role, token in TOKENS.items()})
    return ModelConfig(
        qwen, small_sam3_config(num_queries), num_queries, WIDTH, tokens, stop_tokens=(ids['<|im_end|>'],)
    )


def small_sam3_config(num_queries: int) -> Sam3Config:
    """SAM3 for pictures of 240 x 240 pixels: masks of 48 x 48."""
    patches = SIDE // SAM3_PATCH
    detr = {
        'hidden_size': WIDTH,
        'num_layers': 3,
        'num_attention_heads': WIDTH // HEAD,
        'intermediate_size': 256,
        'dropout': 0.0,
        'initializer_range': INITIALIZER,
    }
    return Sam3Config(
        vision_config={
            'backbone_config': {
                'model_type': 'sam3_vit_model',
                'hidden_size': 192,
                'intermediate_size': 512,
                'num_hidden_layers': 6,
                'num_attention_heads': 3,
                'image_size': SIDE,
                'pretrain_image_size': SIDE,
                'patch_size': SAM3_PATCH,
                'window_size': patches // 2,
                'global_attn_indexes': [1, 3, 5],
                'initializer_range': INITIALIZER,
            },
            'fpn_hidden_size': WIDTH,
            'backbone_feature_sizes': [[4 * patches] * 2, [2 * patches] * 2, [patches] * 2],
            'initializer_range': INITIALIZER,
        },
        # Neither of the two is called, but both are part of what SAM3 is.
        text_config={'model_type': 'clip_text_model', 'hidden_size': 32, 'num_hidden_layers': 1, 'vocab_size': 64},
        geometry_encoder_config={
            'hidden_size': WIDTH,
            'num_layers': 1,
            'num_attention_heads': 4,
            'intermediate_size': 64,
        },
        detr_encoder_config=detr,
        detr_decoder_config={**detr, 'num_queries': num_queries},
        mask_decoder_config={
            'hidden_size': WIDTH,
            'num_attention_heads': WIDTH // HEAD,
            'initializer_range': INITIALIZER,
        },
        initializer_range=INITIALIZER,
    )


def read_texts(files: Sequence[Path]) -> Iterator[str]:
    """Every question and answer of training files in the published format, and the wordings of names."""
    yield from (*PHRASE_QUESTIONS, *SEVERAL_QUESTIONS)
    for file in files:
        for sample in read_published(file, SkipReport()):
            for annotation in sample.annotations:
                yield annotation.text
                yield annotation.phrase


def main(args: Sequence[str] | None = None) -> None:
    """Write the checkpoint that training starts from."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_training.small_model', description=__doc__)
    parser.add_argument('files', nargs='+', type=Path, help='training files, for the words of the tokenizer')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--queries', type=int, default=10, help='K, instance slots a phrase')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args(args)
    try:
        network = write_small_model(read_texts(arguments.files), arguments.out, arguments.queries, arguments.seed)
    except (CheckpointError, ConfigError) as error:
        sys.exit(f'small_model: {error}')
    print(json.dumps({'out': str(arguments.out), 'parameters': sum(each.numel() for each in network.parameters())}))


if __name__ == '__main__':
    main()
