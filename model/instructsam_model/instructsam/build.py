"""A new InstructSAM network from a pretrained Qwen3-VL and a pretrained SAM3, for stage 1 of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from scipy.cluster.vq import kmeans2
from tokenizers import AddedToken
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedTokenizerBase,
    Sam3Config,
    Sam3ImageProcessor,
)

from instructsam_model.errors import CheckpointError
from instructsam_model.instructsam.checkpoint import build_empty, parameter_shapes
from instructsam_model.instructsam.config import TOKEN_KEYS, ModelConfig, read_sam3_config
from instructsam_model.instructsam.network import InstructSAM, projection
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.instructsam.tied_head import without_tied_head
from instructsam_model.sam3.meta_weights import read_meta_sam3
from instructsam_model.weights.hub import read_json, resolve_path
from instructsam_model.weights.tensor_files import check_tensor, check_tensors, find_tensors, read_tensors

TOKENS = {
    'ref_start': '<|object_ref_start|>',
    'ref_end': '<|object_ref_end|>',
    'region': '<REGION>',
    'query': '[SEG]',
    'mask_start': '<|mask_start|>',
    'mask_end': '<|mask_end|>',
}
"""Special tokens by role. Those missing in Qwen's tokenizer are added in this order, which gives the published ids."""

SAM3_PREFIX = 'detector_model.'
GROUNDING_PREFIX = 'model.grounding_model.model.'
UNUSED_SAM3 = ('text_encoder.', 'detr_decoder.presence_', 'tracker')
PER_QUERY = ('detr_decoder.reference_points.weight', 'detr_decoder.query_embed.weight')


def build_segmentation_network(
    qwen: str | Path,
    sam3: str | Path,
    *,
    num_queries: int = 10,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> tuple[InstructSAM, Preprocessor]:
    """Combine the two models; the parts that the paper adds are newly initialized.

    Args:
        qwen: folder or hub id, such as `Qwen/Qwen3-VL-2B-Instruct`.
        sam3: folder or hub id, such as `facebook/sam3`, or Meta's own file, such as `sam3.pt`. A file is combined with
            `transformers`' default configuration and preprocessing, which are those of the published SAM3.
        num_queries: K, instance slots per phrase.
        dtype: of the parameters; None keeps that of Qwen's files.
        seed: for the projections and the clustering of SAM3's reference boxes.

    Raises:
        CheckpointError: a file is missing or damaged, or is not a Qwen3-VL or SAM3 checkpoint.
    """
    qwen_folder, sam3_source = resolve_path(qwen), resolve_sam3_source(sam3)
    tokenizer = read_tokenizer(qwen_folder)
    sam3_config, sam3_images = read_sam3_settings(sam3_source)
    config = make_config(qwen_folder, sam3_config, tokenizer, num_queries)
    network = build_empty(config)

    tensors = _read_qwen(qwen_folder, dtype, ties_head=config.qwen.tie_word_embeddings)
    dtype = dtype or tensors['model.language_model.embed_tokens.weight'].dtype
    tensors |= _read_sam3(sam3_source, num_queries, dtype, seed)
    tensors |= _new_tensors(config, dtype, seed)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_tensors(Path(f'{qwen_folder} with {sam3_source}'), shapes, parameter_shapes(network))
    network.load_state_dict(tensors, strict=False, assign=True)
    network.tie_weights()

    qwen_images = AutoImageProcessor.from_pretrained(qwen_folder, local_files_only=True)
    return network, Preprocessor(tokenizer, qwen_images, sam3_images, config.qwen.image_token_id)


def resolve_sam3_source(source: str | Path) -> Path:
    """Return the path of Meta's file, or the local folder of a checkpoint.

    Raises:
        CheckpointError: there is no such file or folder, and it cannot be downloaded.
    """
    file = Path(source).expanduser()
    if file.suffix == '.pt' and not file.exists():
        raise CheckpointError(f'{file}: no such file')
    return file if file.is_file() else resolve_path(source)


def read_sam3_settings(source: Path) -> tuple[Sam3Config, BaseImageProcessor]:
    """Return SAM3's configuration and image processor: those in a folder; `transformers`' defaults for Meta's file."""
    if source.is_file():
        return Sam3Config(), Sam3ImageProcessor()
    return read_sam3_config(source / 'config.json'), AutoImageProcessor.from_pretrained(source, local_files_only=True)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Read Qwen's tokenizer and add the method's special tokens."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f'{folder}: expected tokenizer files (tokenizer.json, ...), got: {error}') from error
    known = tokenizer.get_vocab()
    new = [AddedToken(token, special=True, normalized=False) for token in TOKENS.values() if token not in known]
    tokenizer.add_tokens(new, special_tokens=True)
    return tokenizer


def make_config(
    qwen_folder: Path, sam3: Sam3Config, tokenizer: PreTrainedTokenizerBase, num_queries: int
) -> ModelConfig:
    """Make the configuration of the combined network.

    Raises:
        CheckpointError: the vocabulary is too small for the special tokens.
    """
    file = qwen_folder / 'config.json'
    published = read_json(file)
    vocabulary = published.get('text_config', {}).get('vocab_size', 0)
    if len(tokenizer) > vocabulary:
        raise CheckpointError(
            f'{file}: expected a Qwen3-VL vocabulary of at least {len(tokenizer)} tokens, got {vocabulary}'
        )
    published |= {
        'max_seg_nums': num_queries,
        'out_dim': sam3.detr_decoder_config.hidden_size,
        **{key: tokenizer.convert_tokens_to_ids(TOKENS[role]) for role, key in TOKEN_KEYS.items()},
    }
    return ModelConfig.from_published(published, sam3, file)


def _read_qwen(folder: Path, dtype: torch.dtype | None, *, ties_head: bool) -> dict[str, Tensor]:
    found = find_tensors(folder)
    return read_tensors(
        without_tied_head(folder, found) if ties_head else found, device=torch.device('cpu'), dtype=dtype
    )


def _read_sam3(source: Path, num_queries: int, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Read SAM3's detector with `num_queries` of its learned queries, under the names of the network."""
    tensors = _read_meta(source, dtype) if source.is_file() else _read_folder(source, dtype)
    missing = [name for name in PER_QUERY if name not in tensors]
    if missing:
        raise CheckpointError(f'{source}: expected the weights of SAM3, they lack {", ".join(missing)}')
    tensors |= select_queries({name: tensors[name] for name in PER_QUERY}, num_queries, seed)
    return {GROUNDING_PREFIX + name: tensor for name, tensor in tensors.items()}


def _read_folder(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    kept = {
        name: place
        for name, place in find_tensors(folder).items()
        if not name.removeprefix(SAM3_PREFIX).startswith(UNUSED_SAM3)
    }
    tensors = read_tensors(kept, device=torch.device('cpu'), dtype=dtype)
    return {name.removeprefix(SAM3_PREFIX): tensor for name, tensor in tensors.items()}


def _read_meta(file: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    tensors = {name: tensor for name, tensor in read_meta_sam3(file).items() if not name.startswith(UNUSED_SAM3)}
    for name, tensor in tensors.items():
        check_tensor(file, name, tensor, dtype)
    return {name: tensor.to(dtype, copy=True) for name, tensor in tensors.items()}


def select_queries(tensors: Mapping[str, Tensor], num_queries: int, seed: int) -> dict[str, Tensor]:
    """Select the learned queries nearest to the centers of `num_queries` clusters of their reference boxes.

    SAM3 has 200 reference boxes spread over the image. The public implementation initializes K boxes with noise around
    the center instead; with spread boxes the first matches already distinguish the slots.

    Args:
        tensors: `PER_QUERY` names to tensors [N, ...]; boxes are logits of center and size.
        num_queries: K, at most N.
        seed: of the clustering.
    """
    boxes = tensors[PER_QUERY[0]].float().sigmoid()
    if num_queries > len(boxes):
        raise CheckpointError(f'num_queries: expected at most {len(boxes)}, the queries of SAM3, got {num_queries}')
    centers, _ = kmeans2(boxes.double().numpy(), num_queries, minit='++', seed=seed)
    chosen: list[int] = []
    for order in torch.cdist(torch.from_numpy(centers), boxes.double()).argsort(dim=1).tolist():
        chosen.append(next(index for index in order if index not in chosen))
    return {name: tensor[chosen].clone() for name, tensor in tensors.items()}


def _new_tensors(config: ModelConfig, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Initialize the query bank with zeros, and the two projections with torch's defaults."""
    hidden = config.qwen.text_config.hidden_size
    tensors = {'model.mask_queries': torch.zeros(config.num_queries, hidden, dtype=dtype)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name in ('mask_hidden_fcs', 'text_hidden_fcs'):
            layers = projection(hidden, config.out_dim).to(dtype).state_dict()
            tensors |= {f'model.{name}.0.{key}': tensor for key, tensor in layers.items()}
    return tensors
