"""Parity of the checkpoint reader: a public checkpoint, made of the weights of the set, is read without any change.

The public code starts adapters again when the path of a checkpoint lacks a certain text; here no path has an influence.
The file that is read has everything that public files have: the prefix of the detector, a second text encoder, and the
projector under three names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from instructsam_model.sam3i.checkpoint import read_sam3i
from instructsam_model.sam3i.names import PREFIXES, REPEATED_PROJECTORS, UNUSED_TEXT_ENCODER
from instructsam_model.sam3i.network import Sam3I
from instructsam_model.weights.hub import resolve_source
from instructsam_training.parity.report import Difference, NotCompared
from instructsam_training.parity.sam3i.golden_files import read_object
from instructsam_training.parity.sam3i.golden_inputs import GoldenInputs
from instructsam_training.parity.sam3i.golden_network import golden_config, read_golden_weights

FOLDERS = ('release', 'sam3i_1-2')
"""Folders of the checkpoint: one whose name makes the public code start adapters again, and one with the text."""
TEXT_ENCODER = 'backbone.language_backbone.'


def compare_reader(inputs: GoldenInputs) -> list[Difference | NotCompared]:
    """Read the weights from differently named folders, and compare every tensor of the network to the bit."""
    expected = inputs.network.state_dict()
    # Tensors that the set lacks are NaN, see `load_golden_network`; a checkpoint without them is refused.
    missing = [name for name, tensor in expected.items() if tensor.isnan().any()]
    if missing:
        return [
            NotCompared(f'reader: weights.safetensors is no complete checkpoint, {len(missing)} tensors are missing')
        ]
    rows: list[Difference | NotCompared] = []
    for name in FOLDERS:
        with TemporaryDirectory() as root, _quiet():
            loaded = _read(inputs, Path(root, name))
        found = loaded.state_dict()
        rows.append(Difference.texts(f'reader {name} names', sorted(found), sorted(expected)))
        differing = sum(not torch.equal(found[key], expected[key]) for key in found.keys() & expected.keys())
        rows.append(Difference.arrays(f'reader {name} tensors changed', differing, 0, abs_tol=0))
    return rows


def _read(inputs: GoldenInputs, folder: Path) -> Sam3I:
    """Write the weights of the set as a public checkpoint, and read it."""
    folder.mkdir()
    sizes, tensors = read_object(inputs.folder / 'config.json'), read_golden_weights(inputs.folder)
    golden_config(sizes, tensors).save_pretrained(folder)
    content = {'model': dict(_as_published(tensors)), 'inst_stage': '1_2', 'epoch': 3}
    torch.save(content, folder / 'checkpoint.pt')
    loaded = read_sam3i(
        resolve_source(folder),
        device=torch.device('cpu'),
        dtype=torch.float32,
        adapter_heads=sizes['adapter_heads'],
        adapter_scale=sizes['adapter_scale'],
    )
    return loaded.network


def _as_published(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        yield f'detector.{name}', tensor
        # A second text encoder with random weights, which the public code never calls.
        if name.startswith(TEXT_ENCODER):
            other = f'{UNUSED_TEXT_ENCODER}{name.removeprefix(TEXT_ENCODER)}'
            yield f'detector.{other}', torch.rand(tensor.shape, generator=generator)
        projector = PREFIXES['projector.']
        if name.startswith(projector):
            for prefix in REPEATED_PROJECTORS:
                yield f'detector.{prefix}{name.removeprefix(projector)}', tensor


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of the reader about the sizes that it was given."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
