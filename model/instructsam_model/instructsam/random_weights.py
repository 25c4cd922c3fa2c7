"""Networks of any architecture with random weights and scripted answers, to measure speed and memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen2VLImageProcessor, Sam3ImageProcessor

from instructsam_model.datatypes import Selection
from instructsam_model.instructsam.checkpoint import build_empty, read_model_config, resolve_sam3
from instructsam_model.instructsam.config import TOKEN_KEYS, ModelConfig, SpecialTokens, with_queries
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.tokens import Tokens
from instructsam_model.instructsam.image_sizes import limit_pixels, with_sam3_size
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_model.instructsam.preprocess import Preprocessor, read_preprocessor
from instructsam_model.instructsam.prompt_lookup import SEPARATOR
from instructsam_model.instructsam.quantization import quantize_network
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.random_weights import fill_randomly
from instructsam_model.sam3.boxes import keep_float32
from instructsam_model.weights.hub import read_json, resolve_path

QWEN_PIXELS = {'shortest_edge': 65_536, 'longest_edge': 16_777_216}
"""Image size limits of Qwen3-VL-2B-Instruct's image processor."""
PHRASE = 'the red box left of the green ball'
"""Scripted phrases are its first tokens; it is repeated for longer phrases."""

NO_REUSE = InstructSAMOptions(speculative_decoding=False)
"""Each result depends on the frame and the instruction alone."""


class ScriptedEngine:
    """An `Engine` that computes every pass but predicts scripted tokens, because random weights generate no phrases.

    Args:
        engine: runs the passes.
        script: token ids of an answer with a stop token at the end; each answer repeats it.
    """

    def __init__(self, engine: Engine, script: Sequence[int]) -> None:
        self.network = engine.network
        self.encode = engine.encode
        self.set_image = engine.set_image
        self.ground = engine.ground
        self.prepare = engine.prepare
        self._engine = engine
        self.script = script
        self._step = 0

    def forward(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """Run one pass and replace its predictions by the script's; accepts draft tokens that agree with it."""
        computed, states = self._engine.forward(tokens, rows)
        predicted = [self.script[(self._step + row) % len(self.script)] for row in range(len(computed))]
        special = self.network.config.tokens
        # The last row of a phrase end is the `mask_end` of its block.
        drafted = [special.ref_end if tokens.ids[row] == special.mask_end else tokens.ids[row] for row in rows[1:]]
        pairs = enumerate(zip(drafted, predicted, strict=False))
        accepted = next((number for number, (draft, token) in pairs if draft != token), len(drafted))
        self._step += accepted + 1
        if self._step >= len(self.script):
            self._step = 0
        return predicted, states


def random_segmenter(
    architecture: Path,
    tokenizer: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    phrase_tokens: int = 6,
    phrases: int = 1,
    num_queries: int | None = None,
    make_engine: Callable[[InstructSAM], Engine] | None = None,
    options: InstructSAMOptions = NO_REUSE,
) -> InstructSAMSegmenter:
    """Make a segmenter with random weights whose answers have a given length, and which keeps every instance slot.

    Args:
        architecture: folder with `config.json`, and SAM3's in `sam3/` unless it is the published one.
        tokenizer: folder of a checkpoint that provides vocabulary and special tokens; it may be a small one.
        device: of the network.
        dtype: of the parameters.
        phrase_tokens: tokens of each phrase.
        phrases: phrases of each answer.
        num_queries: K; None for that of the architecture.
        make_engine: makes the engine of the network; None for that of the options.
        options: of the back end.

    Raises:
        CheckpointError: a file in one of the folders is missing or unusable.
        ConfigError: a size or the quantization is not possible.
    """
    architecture, tokenizer = resolve_path(architecture), resolve_path(tokenizer)
    # 1. The architecture with the small checkpoint's token ids, number of queries and image size.
    config = with_tokens_of(tokenizer, read_model_config(architecture, resolve_sam3(architecture)))
    if num_queries is not None:
        config = replace(config, num_queries=num_queries, sam3=with_queries(config.sam3, num_queries))
    stop = read_json(tokenizer / 'config.json')['text_config']['eos_token_id']
    config = replace(config, sam3=with_sam3_size(config.sam3, options.sam3_size), stop_tokens=(stop,))

    # 2. The network with random weights.
    network = build_empty(config)
    fill_network(network, device, dtype)
    quantize_network(network, options.quantization)

    # 3. The small checkpoint's tokenizer with image processors for the architecture.
    small = read_preprocessor(tokenizer, resolve_sam3(tokenizer), config.qwen.image_token_id)
    preprocessor = Preprocessor(small.tokenizer, *image_processors(config), small.image_token)
    preprocessor = limit_pixels(preprocessor, options.max_pixels)

    # 4. An engine that predicts the scripted answer.
    engine = choose_engine(network, options.engine) if make_engine is None else make_engine(network)
    script = [*_script(small, config.tokens, phrase_tokens, phrases), stop]
    return InstructSAMSegmenter(
        network,
        preprocessor,
        engine=ScriptedEngine(engine, script),
        selection=Selection(min_score=0.0),
        speculative_decoding=options.speculative_decoding,
        max_cached_frames=options.max_cached_frames,
        max_mask_iou=options.max_mask_iou,
    )


def _script(preprocessor: Preprocessor, tokens: SpecialTokens, phrase_tokens: int, phrases: int) -> list[int]:
    """Return the token ids of the scripted answer without a stop token."""
    phrase = [tokens.ref_start, *_phrase_ids(preprocessor, phrase_tokens), tokens.ref_end]
    separator = preprocessor.text(SEPARATOR)
    return [token for number in range(phrases) for token in [*(separator if number else []), *phrase]]


def scripted_phrases(preprocessor: Preprocessor, phrase_tokens: int, phrases: int = 1) -> str:
    """Return the phrases of a `random_segmenter`'s answer in the form in which an instruction names them."""
    phrase = preprocessor.decode(_phrase_ids(preprocessor, phrase_tokens)).strip()
    return ' and '.join([SEPARATOR.join([phrase] * (phrases - 1)), phrase]) if phrases > 1 else phrase


def _phrase_ids(preprocessor: Preprocessor, phrase_tokens: int) -> list[int]:
    return preprocessor.text(f'{PHRASE} ' * 8)[:phrase_tokens]


def with_tokens_of(folder: Path, config: ModelConfig) -> ModelConfig:
    """Return the architecture with the token ids of another checkpoint, whose tokenizer can then be used."""
    published = read_json(folder / 'config.json')
    qwen = copy.deepcopy(config.qwen)
    qwen.image_token_id = published['image_token_id']
    tokens = SpecialTokens(**{role: published[key] for role, key in TOKEN_KEYS.items()})
    return replace(config, qwen=qwen, tokens=tokens)


def image_processors(config: ModelConfig) -> tuple[Qwen2VLImageProcessor, Sam3ImageProcessor]:
    """Return the image processors of Qwen3-VL and SAM3 for an architecture."""
    vision = config.qwen.vision_config
    side = config.sam3.vision_config.backbone_config.image_size
    qwen = Qwen2VLImageProcessor(
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size,
        size=QWEN_PIXELS,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return qwen, Sam3ImageProcessor(size={'height': side, 'width': side})


def fill_network(network: InstructSAM, device: torch.device, dtype: torch.dtype) -> None:
    """Initialize the parameters for inference, see `fill_randomly`; those of the boxes are float32."""
    fill_randomly(network, device, dtype)
    network.tie_weights()
    keep_float32(network.model.grounding_model.model.detr_decoder)
    network.to(device).requires_grad_(False)
    network.eval()
