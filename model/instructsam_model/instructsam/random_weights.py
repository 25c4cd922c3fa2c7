"""Any architecture with random weights, made to answer: for speed and memory where the real weights are not at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import Qwen2VLImageProcessor, Sam3ImageProcessor

from instructsam_model.datatypes import Selection
from instructsam_model.instructsam.checkpoint import build_empty, read_config, resolve_sam3
from instructsam_model.instructsam.config import TOKEN_KEYS, ModelConfig, SpecialTokens, with_queries
from instructsam_model.instructsam.engine.choose import choose_engine
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.tokens import Tokens
from instructsam_model.instructsam.image_sizes import limit_pixels, with_sam3_size
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor, read_preprocessor
from instructsam_model.instructsam.prompt_lookup import SEPARATOR
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.choices import UNQUANTIZED
from instructsam_model.runtime.quantization import quantize
from instructsam_model.sam3.boxes import keep_float32
from instructsam_model.weights.hub import read_json, resolve_path

QWEN_PIXELS = {'shortest_edge': 65_536, 'longest_edge': 16_777_216}
"""Of the processor of Qwen3-VL-2B-Instruct."""
PHRASE = 'the red box left of the green ball'
"""What is answered: its first tokens, over and over if it is to be longer."""


class ScriptedEngine:
    """An `Engine` that computes everything for real, then says what the script says: random weights write no phrase.

    Args:
        engine: that computes.
        script: token ids of the answer, a stop token at the end; begun again for the next answer.
    """

    def __init__(self, engine: Engine, script: Sequence[int]) -> None:
        self.network = engine.network
        self.encode = engine.encode
        self.open_image = engine.open_image
        self.ground = engine.ground
        self.prepare = engine.prepare
        self._engine = engine
        self.script = script
        self._step = 0

    def read(self, tokens: Tokens, rows: Sequence[int]) -> tuple[list[int], Tensor]:
        """One pass, whose next tokens are the script's as far as the draft tokens are."""
        computed, states = self._engine.read(tokens, rows)
        said = [self.script[(self._step + row) % len(self.script)] for row in range(len(computed))]
        special = self.network.config.tokens
        # The last row of a phrase's end is that of the block behind it.
        drafted = [special.ref_end if tokens.ids[row] == special.mask_end else tokens.ids[row] for row in rows[1:]]
        pairs = enumerate(zip(drafted, said, strict=False))
        right = next((number for number, (draft, token) in pairs if draft != token), len(drafted))
        self._step += right + 1
        if self._step >= len(self.script):
            self._step = 0
        return said, states


def stand_in(
    architecture: Path,
    tokenizer: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    phrase_tokens: int = 6,
    phrases: int = 1,
    num_queries: int | None = None,
    engine: str | Callable[[InstructSAM], Engine] = 'auto',
    speculative_decoding: bool = False,
    max_cached_frames: int = 0,
    max_pixels: int = 0,
    sam3_size: int = 0,
    quantization: str = UNQUANTIZED,
) -> InstructSAMSegmenter:
    """A segmenter that answers every instruction with so many phrases of so many tokens, keeping every slot.

    Args:
        architecture: folder with `config.json`, and SAM3's in `sam3/` if it is not the published one.
        tokenizer: folder of a checkpoint; its words and special tokens are used, few as they may be.
        device: of the network.
        dtype: of its parameters.
        phrase_tokens: of each phrase.
        phrases: of each answer.
        num_queries: K; None for that of the architecture.
        engine: see `choose_engine`; or what makes one for the network.
        speculative_decoding: see `InstructSAMOptions`.
        max_cached_frames: likewise.
        max_pixels: likewise.
        sam3_size: likewise.
        quantization: likewise.

    Raises:
        CheckpointError: a file of one of the folders is missing or not what it should be.
        ConfigError: a size or the quantization cannot be used.
    """
    folder, words = resolve_path(architecture), resolve_path(tokenizer)
    config = with_tokens_of(words, read_config(folder, resolve_sam3(folder)))
    if num_queries is not None:
        config = replace(config, num_queries=num_queries, sam3=with_queries(config.sam3, num_queries))
    config = replace(config, sam3=with_sam3_size(config.sam3, sam3_size))
    small = read_preprocessor(words, resolve_sam3(words), config.qwen.image_token_id)
    stop = read_json(words / 'config.json')['text_config']['eos_token_id']
    network = build_empty(replace(config, stop_tokens=(stop,)))
    fill_randomly(network, device, dtype)
    quantize(network, quantization)
    tokens = network.config.tokens
    phrase = [tokens.ref_start, *_phrase_ids(small, phrase_tokens), tokens.ref_end]
    comma = small.text(SEPARATOR)
    script = [token for number in range(phrases) for token in [*(comma if number else []), *phrase]]
    preprocessor = Preprocessor(small.tokenizer, *image_processors(config), small.image_token)
    preprocessor = limit_pixels(preprocessor, max_pixels)
    opened = choose_engine(network, engine) if isinstance(engine, str) else engine(network)
    return InstructSAMSegmenter(
        network,
        preprocessor,
        engine=ScriptedEngine(opened, [*script, stop]),
        selection=Selection(min_score=0.0),
        speculative_decoding=speculative_decoding,
        max_cached_frames=max_cached_frames,
    )


def phrase_of(preprocessor: Preprocessor, phrase_tokens: int, phrases: int = 1) -> str:
    """What to ask for to be answered with what `stand_in` says: the phrases, as an instruction names several."""
    phrase = preprocessor.decode(_phrase_ids(preprocessor, phrase_tokens)).strip()
    return ' and '.join([SEPARATOR.join([phrase] * (phrases - 1)), phrase]) if phrases > 1 else phrase


def _phrase_ids(preprocessor: Preprocessor, phrase_tokens: int) -> list[int]:
    return preprocessor.text(f'{PHRASE} ' * 8)[:phrase_tokens]


def with_tokens_of(folder: Path, config: ModelConfig) -> ModelConfig:
    """The architecture with the token ids of another checkpoint, so that a small tokenizer can stand in."""
    published = read_json(folder / 'config.json')
    qwen = copy.deepcopy(config.qwen)
    qwen.image_token_id = published['image_token_id']
    tokens = SpecialTokens(**{role: published[key] for role, key in TOKEN_KEYS.items()})
    return replace(config, qwen=qwen, tokens=tokens)


def image_processors(config: ModelConfig) -> tuple[Qwen2VLImageProcessor, Sam3ImageProcessor]:
    """The two image processors that fit an architecture."""
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


def fill_randomly(network: InstructSAM, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
    """Give every parameter a plausible size: matrices N(0, 0.02), gains 1, offsets 0."""
    generator = torch.Generator(device=device).manual_seed(seed)
    tensors = {}
    for name, parameter in network.state_dict().items():
        tensor = torch.zeros(parameter.shape, device=device, dtype=dtype)
        if parameter.ndim >= 2:
            tensor.normal_(0, 0.02, generator=generator)
        elif name.endswith('weight'):
            tensor.fill_(1)
        tensors[name] = tensor
    network.load_state_dict(tensors, strict=True, assign=True)
    network.tie_weights()
    keep_float32(network.model.grounding_model.model.detr_decoder)
    network.to(device).requires_grad_(False)
    network.eval()
