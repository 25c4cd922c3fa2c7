"""`ModelConfig`: the configuration of the network, read from the published `config.json` and the SAM3 folder.

The published file is a Qwen3-VL configuration with the method's own keys added at the top level (`max_seg_nums`,
`out_dim`, `seg_token_index`, ...). Those keys are read here only, and get descriptive names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import Qwen3VLConfig, Sam3Config

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.auto_classes import AUTO_MAP, MODEL_TYPE
from instructsam_model.instructsam.variant import Variant
from instructsam_model.sam3.files import read_detector_config
from instructsam_model.weights.hub import read_json

SAM3_FOLDER = 'sam3'
GENERATION_FILE = 'generation_config.json'
VARIANT_KEY = 'instructsam_variant'
"""Key of this project, written for ablations only."""
TRAINING_KEYS = ('bce_loss_weight', 'dice_loss_weight', 'cls_loss_weight', 'loss_sample_points')
TOKEN_KEYS = {
    'ref_start': 'ref_start_token_index',
    'ref_end': 'ref_end_token_index',
    'mask_start': 'seg_start_token_index',
    'query': 'seg_token_index',
    'mask_end': 'seg_end_token_index',
    'region': 'region_token_index',
}


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that delimit phrases and masks: `ref_start PHRASE ref_end mask_start query*K mask_end`.

    Attributes:
        ref_start: `<|object_ref_start|>`, before a phrase.
        ref_end: `<|object_ref_end|>`, after it.
        mask_start: `<|mask_start|>`, before the K queries.
        query: `[SEG]`, K of them; their embeddings come from the query bank.
        mask_end: `<|mask_end|>`, after the queries.
        region: `<REGION>`; in the vocabulary, but not used.
    """

    ref_start: int
    ref_end: int
    mask_start: int
    query: int
    mask_end: int
    region: int


@dataclass(frozen=True)
class ModelConfig:
    """The configuration that determines the names and shapes of all parameters.

    Attributes:
        qwen: of the vision-language model.
        sam3: of the detector; its text encoder and presence token are not used.
        num_queries: K, instance slots per phrase.
        out_dim: size of the projected queries and phrase tokens; equal to SAM3's hidden size.
        tokens: ids of the method's special tokens.
        sam3_source: where SAM3's configuration and preprocessing are: a folder, absolute or relative to the checkpoint,
            or a hub id.
        stop_tokens: tokens that end an answer.
        variant: parts of the method that are switched on.
        training: loss weights of the training; kept in the file, not used at inference.
    """

    qwen: Qwen3VLConfig
    sam3: Sam3Config
    num_queries: int
    out_dim: int
    tokens: SpecialTokens
    sam3_source: str = SAM3_FOLDER
    stop_tokens: tuple[int, ...] = ()
    variant: Variant = field(default_factory=Variant)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sam3_dim = self.sam3.detr_decoder_config.hidden_size
        if self.out_dim != sam3_dim:
            raise CheckpointError(f'out_dim: expected {sam3_dim}, the hidden size of SAM3, got {self.out_dim}')
        if self.num_queries < 1:
            raise CheckpointError(f'max_seg_nums: expected at least one query, got {self.num_queries}')

    @classmethod
    def from_published(cls, published: Mapping[str, Any], sam3: Sam3Config, file: Path) -> ModelConfig:
        """Make the configuration from the content of a published `config.json`.

        Args:
            published: the content.
            sam3: SAM3's own configuration.
            file: the file, for error messages; `generation_config.json` in the same folder has the stop tokens.

        Raises:
            CheckpointError: a key of the method is missing.
        """
        required = ['max_seg_nums', 'out_dim', 'text_config', 'vision_config', *TOKEN_KEYS.values()]
        missing = [key for key in required if key not in published]
        if missing:
            raise CheckpointError(
                f'{file}: not the configuration of an InstructSAM checkpoint, it lacks {", ".join(missing)}'
            )
        return cls(
            qwen=Qwen3VLConfig.from_dict({**published, 'model_type': Qwen3VLConfig.model_type}),
            sam3=with_queries(sam3, published['max_seg_nums']),
            num_queries=published['max_seg_nums'],
            out_dim=published['out_dim'],
            tokens=SpecialTokens(**{name: published[key] for name, key in TOKEN_KEYS.items()}),
            stop_tokens=read_stop_tokens(file.parent, published['text_config']),
            sam3_source=published.get('mask_decoder_model') or SAM3_FOLDER,
            variant=read_variant(published.get(VARIANT_KEY, {}), file),
            training={key: published[key] for key in TRAINING_KEYS if key in published},
        )

    def to_published(self) -> dict[str, Any]:
        """Return the content for `config.json`, with the published keys."""
        return {
            **self.qwen.to_dict(),
            **self.training,
            'architectures': ['InstructSAMForConditionalGeneration'],
            'model_type': MODEL_TYPE,
            'auto_map': AUTO_MAP,
            'max_seg_nums': self.num_queries,
            'out_dim': self.out_dim,
            'seg_encoder': 'sam3',
            'seg_decoder': 'sam3',
            'mm_mask_decoder': 'sam3',
            'mask_decoder_model': SAM3_FOLDER,
            **{key: getattr(self.tokens, name) for name, key in TOKEN_KEYS.items()},
            **({} if self.variant == Variant() else {VARIANT_KEY: asdict(self.variant)}),
        }


def read_stop_tokens(folder: Path, text_config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the stop tokens of `generation_config.json`, else those of the language model's configuration.

    Raises:
        CheckpointError: neither file has any.
    """
    file = folder / GENERATION_FILE
    stop = read_json(file).get('eos_token_id') if file.exists() else None
    stop = text_config.get('eos_token_id') if stop is None else stop
    if stop is None:
        raise CheckpointError(f"{file}: expected 'eos_token_id', the token that ends an answer")
    return (stop,) if isinstance(stop, int) else tuple(stop)


def read_variant(published: Mapping[str, Any], file: Path) -> Variant:
    """Read which parts of the method are switched on.

    Raises:
        CheckpointError: a part is unknown.
    """
    try:
        return Variant(**published)
    except TypeError:
        known = ', '.join(Variant.__dataclass_fields__)
        raise CheckpointError(f'{file}: {VARIANT_KEY}: expected some of {known}, got {", ".join(published)}') from None


def with_queries(sam3: Sam3Config, num_queries: int) -> Sam3Config:
    """Return SAM3's configuration with `num_queries` decoder queries instead of 200."""
    published = sam3.to_dict()
    published['detr_decoder_config']['num_queries'] = num_queries
    return Sam3Config(**published)


def read_sam3_config(file: Path) -> Sam3Config:
    """Read SAM3's `config.json`: that of the detector, or that of the video model which contains it.

    Raises:
        CheckpointError: the file cannot be read or is not one of the two.
    """
    detector = read_detector_config(file)
    # The text encoder is not used; of its settings only the width matters, and `transformers` warns about the others.
    text_config = {**detector.get('text_config', {}), 'bos_token_id': None, 'eos_token_id': None}
    return Sam3Config(**{**detector, 'text_config': text_config})
