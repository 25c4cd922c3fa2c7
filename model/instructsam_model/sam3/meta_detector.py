"""`MetaPhraseDetector`: SAM3 with the code of Meta's package `sam3`, installed in an environment of its own.

Preprocessing, prompting and masks are those of Meta's `Sam3Processor`; only the choice by score is left to the caller.

Notation: K queries, h w the mask grid, n some of the queries, H W the image.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTokenizer

from instructsam_model.datatypes import Frame
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.runtime.stages import stage
from instructsam_model.sam3.checkpoint import read_tokenizer
from instructsam_model.sam3.files import META_FILE, Sam3Files
from instructsam_model.sam3.meta_weights import read_meta_tensors
from instructsam_model.sam3.phrase_detector import PhraseDetections, combine_scores
from instructsam_model.sam3.phrase_tokens import PHRASE_TOKENS, tokenize_phrases
from instructsam_model.weights.tensor_files import check_tensor

EXTRA = "pip install 'instructsam_ros[sam3]' in an environment of its own"
PADDING_ID = 0
"""Id with which Meta's tokenizer pads, and by which Meta's code recognizes padding."""
WITHOUT_TABLES = {
    'PositionEmbeddingSine': {'precompute_resolution': None},
    'TransformerDecoder': {'resolution': None, 'stride': None},
}
"""Arguments of Meta's classes with which their constructors compute no tables on a CUDA device."""


class MetaPhraseDetector:
    """Meta's image model with its processor; a `PhraseDetector`.

    Args:
        model: of `sam3.model_builder.build_sam3_image_model`, with weights.
        processor: Meta's `Sam3Processor` of it.
        dtype: precision of autocast, as in Meta's examples; float32 for none.
    """

    def __init__(self, model: Any, processor: Any, dtype: torch.dtype) -> None:
        self.model = model
        self.processor = processor
        self._dtype = dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def num_queries(self) -> int:
        """K: the number of instances of a phrase that can be found."""
        return len(self.model.transformer.decoder.query_embed.weight)

    def encode(self, frame: Frame) -> dict[str, Any]:
        """Encode an image: Meta's state of it."""
        image = np.require(frame.image_rgb, requirements=['C', 'W'])  # torch warns about read-only memory
        with stage('sam3 vision'), self._autocast():
            state: dict[str, Any] = self.processor.set_image(torch.from_numpy(image).permute(2, 0, 1))
        return state

    def detect(self, encoded: dict[str, Any], phrase: str) -> PhraseDetections:
        """Detect what a phrase names in an encoded image."""
        with self._autocast(), without_pinning(self.device):
            with stage('text'):
                text = self.model.backbone.forward_text([phrase], device=self.device)
            with stage('sam3 decode'):
                output = self.model.forward_grounding(
                    backbone_out={**encoded['backbone_out'], **text},
                    find_input=self.processor.find_stage,
                    geometric_prompt=self.model._get_dummy_prompt(),
                    find_target=None,
                )
        # One prompt: [1, K, 1] and [1, 1].
        box_xyxy, mask_logits = output['pred_boxes_xyxy'][0].float(), output['pred_masks'][0]
        scores = combine_scores(output['pred_logits'][0, :, 0], output['presence_logit_dec'][0], box_xyxy, mask_logits)
        return PhraseDetections(scores, box_xyxy, mask_logits)

    def to_masks(self, mask_logits: Tensor, size_wh: tuple[int, int], threshold: float) -> Tensor:
        """Resize mask logits [n, h, w] as Meta's processor: bool [n, H, W]."""
        # Logits are resized, then turned into probabilities; `transformers` does it in the other order.
        logits = mask_logits.float().unsqueeze(0)
        return F.interpolate(logits, size=size_wh[::-1], mode='bilinear', align_corners=False)[0].sigmoid() > threshold

    def forget(self) -> None:
        """Do nothing: no phrase is kept."""

    def weight_bytes(self) -> int:
        """Return the size of the parameters."""
        return count_bytes(self.model)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32)


class CheckpointTokenizer:
    """CLIP's tokenizer files of a checkpoint behind the interface of Meta's `SimpleTokenizer`.

    Meta's wheel lacks the file of its vocabulary.
    """

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: str | Sequence[str], context_length: int = PHRASE_TOKENS) -> Tensor:
        """Return token ids, int64 [texts, context_length], padded with `PADDING_ID`."""
        token_ids, token_mask = tokenize_phrases(
            self._tokenizer, [texts] if isinstance(texts, str) else texts, context_length
        )
        return token_ids.masked_fill(token_mask == 0, PADDING_ID)


def load_meta_detector(
    files: Sam3Files, tokenizer_folder: Any, device: torch.device, dtype: torch.dtype
) -> MetaPhraseDetector:
    """Build Meta's model with the weights of `sam3.pt`.

    Args:
        files: of the checkpoint.
        tokenizer_folder: with CLIP's tokenizer files.
        device: of the parameters, which stay in float32.
        dtype: precision of autocast.

    Raises:
        ConfigError: Meta's package is not installed.
        CheckpointError: the checkpoint has no `sam3.pt`, or its tensors are not those of Meta's model.
    """
    builder, processing = import_meta()
    weights = files.meta_weights or files.folder / META_FILE
    if not weights.is_file():
        raise CheckpointError(f"{files.folder}: implementation meta expects Meta's weights in {META_FILE}, found none")
    tokenizer = CheckpointTokenizer(read_tokenizer(tokenizer_folder))
    # Meta's builder prints; standard output is reserved for results.
    with patched(builder, tokenizer), contextlib.redirect_stdout(sys.stderr):
        model = builder.build_sam3_image_model(bpe_path='', device='cpu', load_from_HF=False)
    load_weights(model, read_meta_tensors(weights), weights)
    model = model.to(device).eval().requires_grad_(False)
    return MetaPhraseDetector(model, processing.Sam3Processor(model, device=str(device)), dtype)


def import_meta() -> tuple[ModuleType, ModuleType]:
    """Import Meta's package: its model builder and its image processor.

    Raises:
        ConfigError: it is not installed, or something that it needs is missing.
    """
    try:
        return import_module('sam3.model_builder'), import_module('sam3.model.sam3_image_processor')
    except ImportError as error:
        raise ConfigError(
            f"implementation: meta expects Meta's package sam3, which cannot be imported ({error}); {EXTRA}, or use "
            'transformers'
        ) from error


@contextlib.contextmanager
def patched(builder: ModuleType, tokenizer: CheckpointTokenizer) -> Iterator[None]:
    """Make Meta's builder use a given tokenizer, and build on any device."""
    replaced: dict[str, Any] = {
        name: _with_arguments(getattr(builder, name), arguments) for name, arguments in WITHOUT_TABLES.items()
    }
    replaced['SimpleTokenizer'] = lambda **_: tokenizer
    before = {name: getattr(builder, name) for name in replaced}
    for name, value in replaced.items():
        setattr(builder, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(builder, name, value)


def _with_arguments(make: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Return `make` with arguments that replace those of its caller."""
    return lambda *args, **given: make(*args, **{**given, **arguments})


@contextlib.contextmanager
def without_pinning(device: torch.device) -> Iterator[None]:
    """Disable `Tensor.pin_memory` on a CPU: Meta's code calls it on every device, but it needs a GPU."""
    if device.type == 'cuda':
        yield
        return
    pin_memory = Tensor.pin_memory
    Tensor.pin_memory = lambda tensor, *_: tensor  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.pin_memory = pin_memory  # type: ignore[method-assign]


def load_weights(model: torch.nn.Module, tensors: dict[str, Tensor], file: Any) -> None:
    """Load tensors by Meta's names into Meta's model; tables that the model computes itself may be missing.

    Raises:
        CheckpointError: a parameter is missing, has another shape, or values that are not finite.
    """
    own = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    wrong = [name for name, shape in own.items() if name not in tensors or tuple(tensors[name].shape) != shape]
    if wrong:
        more = ', ...' if len(wrong) > 3 else ''
        raise CheckpointError(
            f"{file}: expected the parameters of Meta's SAM3, {len(wrong)} are missing or of another shape: "
            f'{", ".join(wrong[:3])}{more}; implementation meta reads the published size only'
        )
    for name in own:
        check_tensor(file, name, tensors[name], None)
    # Not strict, because buffers are missing: Meta's model computes its tables itself.
    model.load_state_dict({name: tensors[name] for name in own}, strict=False)
