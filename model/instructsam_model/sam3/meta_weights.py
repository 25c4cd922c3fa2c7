"""SAM3's detector from Meta's own file (`sam3.pt`), under the names of `transformers`.

Meta's package (`sam3`, github.com/facebookresearch/sam3) and `transformers` implement the same network. They differ in
the names, and where Meta stores the projections of queries, keys and values as one tensor, `transformers` has three.
The names are those that Meta's `build_sam3_video_model` loads with `strict=True`, and `build_sam3_image_model` picks
from. tests/model/sam3/test_meta_parity.py compares the two implementations.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.files import explain

Rows = tuple[tuple[str, str], ...]

MLP_LAYERS: Rows = tuple((rf'\.layers\.{index}\.', f'.layer{index + 1}.') for index in range(3))
ATTENTION: Rows = ((r'attn\.out_proj\.', 'attn.o_proj.'),)
ENCODER_LAYERS: Rows = (
    (r'\.cross_attn_image\.', '.cross_attn.'),
    (r'\.linear([12])\.', r'.mlp.fc\1.'),
    (r'\.norm([123])\.', r'.layer_norm\1.'),
    *ATTENTION,
)

PARTS: tuple[tuple[str, str, Rows], ...] = (
    (
        'backbone.vision_backbone.trunk.',
        'vision_encoder.backbone.',
        (
            (r'^pos_embed$', 'embeddings.position_embeddings'),
            (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
            (r'^ln_pre\.', 'layer_norm.'),
            (r'^blocks\.(\d+)\.', r'layers.\1.'),
            (r'\.norm([12])\.', r'.layer_norm\1.'),
            (r'\.attn\.proj\.', '.attention.o_proj.'),
            (r'\.attn\.qkv\.', '.attention.qkv.'),
        ),
    ),
    (
        'backbone.vision_backbone.convs.',
        'vision_encoder.neck.fpn_layers.',
        (
            (r'\.dconv_2x2(_0)?\.', '.scale_layers.0.'),
            (r'\.dconv_2x2_1\.', '.scale_layers.2.'),
            (r'\.conv_1x1\.', '.proj1.'),
            (r'\.conv_3x3\.', '.proj2.'),
        ),
    ),
    (
        'backbone.language_backbone.encoder.',
        'text_encoder.',
        (
            (r'^token_embedding\.', 'text_model.embeddings.token_embedding.'),
            (r'^positional_embedding$', 'text_model.embeddings.position_embedding.weight'),
            (r'^transformer\.resblocks\.(\d+)\.', r'text_model.encoder.layers.\1.'),
            (r'^ln_final\.', 'text_model.final_layer_norm.'),
            (r'^text_projection$', 'text_projection.weight'),
            (r'\.attn\.', '.self_attn.'),
            (r'\.ln_([12])\.', r'.layer_norm\1.'),
            (r'\.c_fc\.', '.fc1.'),
            (r'\.c_proj\.', '.fc2.'),
        ),
    ),
    ('backbone.language_backbone.resizer.', 'text_projection.', ()),
    (
        'geometry_encoder.',
        'geometry_encoder.',
        (
            (r'^encode\.(\d+)\.', r'layers.\1.'),
            (r'^img_pre_norm\.', 'vision_layer_norm.'),
            (r'^norm\.', 'prompt_layer_norm.'),
            (r'^encode_norm\.', 'output_layer_norm.'),
            *ENCODER_LAYERS,
        ),
    ),
    ('transformer.encoder.', 'detr_encoder.', ENCODER_LAYERS),
    (
        'transformer.decoder.',
        'detr_decoder.',
        (
            (r'\.cross_attn\.', '.vision_cross_attn.'),
            (r'\.ca_text\.', '.text_cross_attn.'),
            (r'\.norm1\.', '.vision_cross_attn_layer_norm.'),
            (r'\.catext_norm\.', '.text_cross_attn_layer_norm.'),
            (r'\.norm2\.', '.self_attn_layer_norm.'),
            (r'\.norm3\.', '.mlp_layer_norm.'),
            (r'\.linear([12])\.', r'.mlp.fc\1.'),
            (r'^norm\.', 'output_layer_norm.'),
            (r'^bbox_embed\.', 'box_head.'),
            (r'^boxRPB_embed_([xy])\.', r'box_rpb_embed_\1.'),
            (r'^presence_token_head\.', 'presence_head.'),
            (r'^presence_token_out_norm\.', 'presence_layer_norm.'),
            *MLP_LAYERS,
            *ATTENTION,
        ),
    ),
    (
        'segmentation_head.',
        'mask_decoder.',
        (
            (r'^mask_predictor\.mask_embed\.', 'mask_embedder.'),
            (r'^cross_attend_prompt\.', 'prompt_cross_attn.'),
            (r'^cross_attn_norm\.', 'prompt_cross_attn_norm.'),
            (r'^(instance|semantic)_seg_head\.', r'\1_projection.'),
            *ATTENTION,
        ),
    ),
    (
        'dot_prod_scoring.',
        'dot_product_scoring.',
        (
            (r'^prompt_mlp\.out_norm\.', 'text_mlp_out_norm.'),
            (r'^prompt_mlp\.', 'text_mlp.'),
            (r'^prompt_proj\.', 'text_proj.'),
            (r'^hs_proj\.', 'query_proj.'),
            *MLP_LAYERS,
        ),
    ),
)
"""For each part of the detector: Meta's prefix, that of `transformers`, and the substitutions in the rest, in order."""

UNUSED = re.compile(
    r'tracker\.|inst_interactive_predictor\.'  # tracking in videos and clicks, with their own feature pyramid:
    r'|backbone\.vision_backbone\.sam2_convs\.'
    r'|geometry_encoder\.points_'  # prompts that are points; `transformers` has boxes only
    r'|.*\.freqs_cis$'  # rotary positions, which follow from the configuration
)
UNSAFE = re.compile(r'GLOBAL ([\w.]+)')
"""How torch names the first object of a file that is more than tensors."""
FUSED = re.compile(r'(.*\.)(?:qkv\.|in_proj_)(weight|bias)')
POSITIONS = 'vision_encoder.backbone.embeddings.position_embeddings'
TEXT_PROJECTION = 'text_encoder.text_projection.weight'


def read_meta_sam3(file: Path) -> dict[str, Tensor]:
    """Read the detector of a `sam3.pt`, or of a checkpoint of Meta's trainer.

    Returns:
        The tensors under the names of `transformers.Sam3Model`, memory-mapped: copy those that are to stay.

    Raises:
        CheckpointError: the file is missing, damaged, holds more than tensors, or is not SAM3.
    """
    content = read_meta_tensors(file)
    try:
        return convert_tensors(content)
    except CheckpointError as error:
        raise CheckpointError(f'{file}: {error}') from None


def read_meta_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a `sam3.pt` under Meta's names, without the prefix `detector.`; memory-mapped.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors.
    """
    return read_meta_content(file)[0]


def read_meta_content(file: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """Read the tensors of a `sam3.pt`, see `read_meta_tensors`, and all that the file holds.

    A checkpoint of a trainer has further entries beside the weights, such as the state of the optimizer.

    Raises:
        CheckpointError: as `read_meta_tensors`.
    """
    try:
        content = torch.load(file, map_location='cpu', mmap=True, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f'{file}: no such file') from None
    except PermissionError as error:
        raise CheckpointError(f'{file}: the weights cannot be read: {explain(error, file)}') from error
    except pickle.UnpicklingError as error:
        if 'eights only' not in str(error):
            raise _damaged(file, error) from error
        kind = UNSAFE.search(str(error))
        raise CheckpointError(
            f'{file}: expected tensors only; the file also holds {kind[1] if kind else "Python objects"}, whose code '
            'would run when they are loaded, so that it is refused; if you trust it, save the weights alone: '
            'torch.save({"model": torch.load(file, weights_only=False)["model"]}, new_file)'
        ) from error
    except (OSError, EOFError, LookupError, RuntimeError, ValueError) as error:
        raise _damaged(file, error) from error
    tensors = content
    # Meta's trainer stores the weights beside the state of the optimizer.
    if isinstance(content, dict) and isinstance(content.get('model'), dict):
        tensors = content['model']
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f'{file}: expected the tensors of SAM3 by name, alone or under the key "model"')
    return {name.removeprefix('detector.'): tensor for name, tensor in tensors.items()}, content


def _damaged(file: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip().partition('\n')[0]
    return CheckpointError(
        f'{file}: expected a torch checkpoint of tensors, as Meta publishes SAM3, got: {type(error).__name__}: '
        f'{reason}; download or copy it again'
    )


def convert_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the tensors of Meta's detector to the names and shapes of `transformers.Sam3Model`.

    Args:
        tensors: by Meta's names, with or without the prefix `detector.`.

    Raises:
        CheckpointError: names that are not SAM3's.
    """
    named = {name.removeprefix('detector.'): tensor for name, tensor in tensors.items()}
    names = {name: rename(name) for name in named if not UNUSED.match(name)}
    unknown = [name for name, renamed in names.items() if renamed is None]
    if unknown:
        more = ', ...' if len(unknown) > 3 else ''
        raise CheckpointError(
            f"expected the names of Meta's SAM3 (backbone., transformer., ...), got {len(unknown)} others: "
            f'{", ".join(unknown[:3])}{more}'
        )
    return dict(pair for name, new in names.items() if new is not None for pair in convert_tensor(new, named[name]))


def rename(name: str) -> str | None:
    """Return the name in `transformers`, projections still fused; None if the name is not one of the detector."""
    for prefix, new_prefix, rows in PARTS:
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            # In order: later patterns match names that earlier ones have changed.
            for pattern, replacement in rows:
                rest = re.sub(pattern, replacement, rest)
            return new_prefix + rest
    return None


def convert_tensor(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Split or reshape one renamed tensor; views, no copies."""
    if fused := FUSED.fullmatch(name):
        start, kind = fused.groups()
        for part, projection in zip('qkv', tensor.chunk(3), strict=True):
            yield f'{start}{part}_proj.{kind}', projection
    elif name == POSITIONS:
        yield name, tensor[:, 1:]  # the first belongs to a class token, which neither implementation uses
    elif name == TEXT_PROJECTION:
        yield name, tensor.T
    else:
        yield name, tensor
