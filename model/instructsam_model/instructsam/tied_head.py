"""The head of the language model, if it shares the token embedding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from instructsam_model.errors import CheckpointError
from instructsam_model.weights.tensor_files import Shape, iterate_tensors

HEAD = 'lm_head.weight'
EMBEDDING = 'model.language_model.embed_tokens.weight'


def without_tied_head(folder: Path, found: Mapping[str, tuple[Path, Shape]]) -> dict[str, tuple[Path, Shape]]:
    """Return the tensors of a checkpoint whose head shares the token embedding, without the head.

    Some tools store the shared tensor under both names.

    Args:
        folder: of the checkpoint.
        found: file and shape of each tensor.

    Raises:
        CheckpointError: the stored head is another tensor, which would be ignored.
    """
    kept = {name: place for name, place in found.items() if name != HEAD}
    if HEAD in found and EMBEDDING in found:
        pair = {name: found[name] for name in (HEAD, EMBEDDING)}
        tensors = dict(iterate_tensors(pair, device=torch.device('cpu'), dtype=None))
        head, embedding = tensors[HEAD], tensors[EMBEDDING]
        if head.shape != embedding.shape or not torch.equal(head, embedding.to(head.dtype)):
            raise CheckpointError(
                f'{folder}: tie_word_embeddings of config.json is true, but {HEAD} is stored and is not the token '
                'embedding, so one of them is wrong; if the head was trained on its own, set tie_word_embeddings to '
                'false, otherwise remove it from the file'
            )
    return kept
