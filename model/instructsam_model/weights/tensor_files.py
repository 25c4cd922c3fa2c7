"""Weights in safetensors files: one file, or shards with an index, in the layout of `transformers`.

Names and shapes are compared with those of the network before any tensor is read, so that a checkpoint that does not
fit fails at once, with one message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from instructsam_model.errors import CheckpointError
from instructsam_model.files import check_readable, explain, is_present
from instructsam_model.weights.finite import check_finite, is_finite
from instructsam_model.weights.hub import read_json

WEIGHTS_FILE = 'model.safetensors'
INDEX_FILE = 'model.safetensors.index.json'
Shape = tuple[int, ...]
OS_ERROR = re.compile(r'\(os error (\d+)\)')
"""How safetensors gives the number of an error of the operating system."""


def find_tensors(folder: Path) -> dict[str, tuple[Path, Shape]]:
    """Return the file and shape of every tensor in a folder, from the headers of the files.

    Raises:
        CheckpointError: a file is missing, truncated or not a safetensors file.
    """
    index = folder / INDEX_FILE
    if is_present(index):
        weight_map = read_json(index).get('weight_map')
        if not isinstance(weight_map, dict):
            raise CheckpointError(f"{index}: expected an object with 'weight_map'")
        # Tensors of one shard appear in its header, so the index is needed for the names of the files only.
        files = sorted({folder / name for name in weight_map.values()})
    elif is_present(folder / WEIGHTS_FILE):
        files = [folder / WEIGHTS_FILE]
    else:
        raise CheckpointError(f'{folder}: no weights; expected {WEIGHTS_FILE}, or shards with {INDEX_FILE}')
    return {name: (file, shape) for file in files for name, shape in read_header(file).items()}


def read_header(file: Path) -> dict[str, Shape]:
    """Return names and shapes of the tensors of one file.

    Raises:
        CheckpointError: the file is missing, truncated or not a safetensors file.
    """
    # `safe_open` is not a mapping: names are listed by `keys` alone.
    try:
        check_readable(file)
        with safe_open(file, framework='pt') as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(
            f'{file}: no such file; the checkpoint is incomplete, download or copy it again'
        ) from None
    except PermissionError as error:
        raise CheckpointError(f'{file}: the weights cannot be read: {explain(error, file)}') from error
    except (SafetensorError, OSError) as error:
        # The size shows whether a download was interrupted.
        size = file.stat().st_size if file.is_file() else 0
        raise CheckpointError(
            f'{file}: expected a complete safetensors file, got {size} bytes that are not one ({error}); '
            'download or copy it again'
        ) from error


def check_tensors(folder: Path, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Compare the names and shapes of the tensors in files with those of the network.

    Raises:
        CheckpointError: they differ; the message counts the differences and lists the first of each kind.
    """
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    wrong = [
        f'{name} (expected {list(expected[name])}, got {list(shape)})'
        for name, shape in found.items()
        if name in expected and expected[name] != shape
    ]
    # A wrong configuration changes nearly every tensor, so at most three of each kind are listed.
    differences = [
        f'{len(names)} {kind}: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}'
        for kind, names in (('of another shape', wrong), ('missing', missing), ('unknown', unknown))
        if names
    ]
    if differences:
        raise CheckpointError(
            f'{folder}: the tensors are not those that config.json describes; {"; ".join(differences)}'
        )


def iterate_tensors(
    found: Mapping[str, tuple[Path, Shape]], *, device: torch.device, dtype: torch.dtype | None, copy: bool = False
) -> Iterator[tuple[str, Tensor]]:
    """Read tensors one at a time; besides the tensors that the caller keeps, one file is mapped into memory.

    Args:
        found: file and shape of each tensor, see `find_tensors`.
        device: of the tensors; they are read directly from the mapped file to it.
        dtype: of the tensors; None keeps that of the file.
        copy: copy tensors even if neither device nor dtype changes; otherwise such tensors are pages of the file, which
            then stays mapped as a whole.

    Raises:
        CheckpointError: a tensor has values that are not finite, in the file or after the conversion to `dtype`.
    """
    # File by file, so that only one is open and mapped at a time.
    names_by_file: dict[Path, list[str]] = {}
    for name, (file, _) in found.items():
        names_by_file.setdefault(file, []).append(name)
    for file, names in names_by_file.items():
        with safe_open(file, framework='pt') as source:
            for name in names:
                tensor = source.get_tensor(name)
                check_tensor(file, name, tensor, dtype)
                yield name, tensor.to(device=device, dtype=dtype, copy=copy)


def check_tensor(file: Path, name: str, tensor: Tensor, dtype: torch.dtype | None) -> None:
    """Check that the values of a tensor are finite, also after the conversion to `dtype`; None converts nothing.

    Raises:
        CheckpointError: they are not.
    """
    if is_finite(tensor, dtype):
        return
    if is_finite(tensor):
        raise CheckpointError(
            f'{file}: values of {name} are too large for {dtype}, in which they would be infinite; '
            'load it with bfloat16 or float32'
        )
    raise CheckpointError(
        f'{file}: {name} has values that are not finite (NaN or infinity), so that the network would find nothing; '
        'the training has diverged or the file is damaged: use an earlier checkpoint, or download it again'
    )


def read_tensors(
    found: Mapping[str, tuple[Path, Shape]], *, device: torch.device, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Read all tensors to a device; `dtype` None keeps that of the file."""
    return dict(iterate_tensors(found, device=device, dtype=dtype))


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], max_shard_bytes: int) -> None:
    """Write tensors as one file, or as shards of at most `max_shard_bytes` with an index.

    Raises:
        CheckpointError: a tensor has values that are not finite; nothing is written.
        OSError: they cannot be written.
    """
    own = _writable(folder, tensors)
    with _true_errors(folder):
        save_torch_state_dict(own, folder, max_shard_size=max_shard_bytes)


def write_tensor_file(file: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as one file of any name; errors as of `write_tensors`.

    Call it within `write_atomically`, which gives the file the permissions of the umask.
    """
    own = _writable(file, tensors)
    with _true_errors(file):
        save_file(own, file, metadata=metadata)


def _writable(place: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    check_finite(place, tensors, 'nothing is written, and what was written before is kept')
    return {name: _in_own_memory(tensor.detach().contiguous()) for name, tensor in tensors.items()}


def _in_own_memory(tensor: Tensor) -> Tensor:
    """Return the tensor, copied if it is a view: writers treat views of one storage as the same tensor."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


@contextmanager
def _true_errors(place: Path) -> Iterator[None]:
    """Raise what safetensors reports as an error of its own, such as a full disk, as an OSError."""
    try:
        yield
    except SafetensorError as error:
        number = OS_ERROR.search(str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(place)) from error
