"""The registry of back ends, and `load_segmenter`, the one way to load any of them. Nothing here imports torch.

A back end is a package that makes a `Segmenter` from a checkpoint. It has one `Backend` object, with the checkpoints
that it can read, its options, and the function that loads it. A package outside this repository registers its own
through the entry-point group `instructsam_ros.backends`:

    [project.entry-points.'instructsam_ros.backends']
    my_backend = 'my_package.backend:BACKEND'
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from instructsam_model.datatypes import Segmenter, Selection
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.options import Options, check_names, make_options
from instructsam_model.weights import embedded
from instructsam_model.weights.hub import ADAPTER_CONFIG_FILE, CONFIG_FILE, CheckpointSource, resolve_source

logger = logging.getLogger(__name__)

AUTO = 'auto'
BUILT_IN = {
    'instructsam': 'instructsam_model.instructsam.backend:BACKEND',
    'sam3': 'instructsam_model.sam3.backend:BACKEND',
    'sam3i': 'instructsam_model.sam3i.backend:BACKEND',
    'sam3_agent': 'instructsam_model.sam3_agent.backend:BACKEND',
}
"""Module and attribute of the `Backend` object of each built-in back end, by name."""
ENTRY_POINT_GROUP = 'instructsam_ros.backends'


@dataclass(frozen=True)
class LoadSettings:
    """Settings that every back end has.

    Attributes:
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...
        dtype: `auto`, `float32`, `bfloat16` or `float16`; `auto` is the fastest on a CPU, and on a GPU that of the
            checkpoint (of `sam3`, whose files are float32, bfloat16).
        threads: CPU threads per request; 0 for as many as are idle.
        selection: default of `Segmenter.segment`; None for the back end's own.
    """

    device: str = AUTO
    dtype: str = AUTO
    threads: int = 0
    selection: Selection | None = None


@dataclass(frozen=True)
class Backend:
    """Entry of a back end in the registry.

    Attributes:
        name: prefix of its options as ROS parameters and flags: `<name>.<option>`.
        description: one sentence for users.
        options: dataclass of its options; its module must not import torch.
        matches: returns whether it can read a checkpoint, from configuration and file names; weights are not read.
        load: makes the segmenter; its module imports torch only inside this function.
        evaluation_options: options with which a result depends on the frame and the instruction alone, not on earlier
            requests; defaults of evaluations.
    """

    name: str
    description: str
    options: type[Options]
    matches: Callable[[CheckpointSource], bool]
    load: Callable[[CheckpointSource, LoadSettings, Any], Segmenter]
    evaluation_options: Mapping[str, Any] = field(default_factory=dict)


def get_backend(name: str) -> Backend:
    """Return the back end of a name.

    Raises:
        ConfigError: no back end has that name (the message names similar ones), or it cannot be imported.
    """
    if name in BUILT_IN:
        # Not through entry points, so that a checkout works without installation.
        module, _, attribute = BUILT_IN[name].partition(':')
        return _checked(getattr(import_module(module), attribute), name)
    check_names([name], backend_names(), 'back end')
    [entry] = entry_points(group=ENTRY_POINT_GROUP, name=name)
    try:
        published = entry.load()
    except Exception as error:  # code of another distribution: anything may be wrong with it
        owner = entry.dist.name if entry.dist is not None else 'its distribution'
        raise ConfigError(
            f'back end {name!r}: cannot import {entry.value}: {type(error).__name__}: {error}; '
            f'repair or uninstall {owner}'
        ) from error
    return _checked(published, name)


def backend_names() -> tuple[str, ...]:
    """Return the names of all back ends, built-in ones first.

    Raises:
        ConfigError: two installed packages register the same name.
    """
    installed = [entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)]
    names = (*BUILT_IN, *sorted(installed))
    # A package might also register the name of a built-in back end.
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f'back end {repeated[0]!r}: registered more than once; uninstall one of the packages')
    return names


def find_backend(source: CheckpointSource, name: str = AUTO) -> Backend:
    """Return the back end `name`, or the one that reads the checkpoint.

    Raises:
        CheckpointError: no back end, or more than one, reads the checkpoint.
        ConfigError: there is no back end of that name.
    """
    if name != AUTO:
        return get_backend(name)
    if not source.config and (source.path / ADAPTER_CONFIG_FILE).is_file():
        raise CheckpointError(
            f'{source.path}: expected a checkpoint, found an adapter; give the checkpoint that it was trained on, and '
            'this folder as adapter (flag --instructsam.adapter, parameter instructsam.adapter)'
        )
    # A wrong or incomplete folder is the most frequent mistake, so it has its own message.
    if source.path.is_dir() and not source.config and not list(source.path.glob('*.pt')):
        raise CheckpointError(f'{source.path / CONFIG_FILE}: no such file; every checkpoint has one')
    found = [backend for backend in map(get_backend, backend_names()) if backend.matches(source)]
    if len(found) == 1:
        return found[0]
    readers = ', '.join(backend.name for backend in found) or 'none'
    raise CheckpointError(
        f'{source.path}: expected a checkpoint that exactly one back end of {", ".join(backend_names())} can read, '
        f'read by: {readers}; choose the back end by name'
    )


def find_checkpoint_backend(checkpoint: str | Path = embedded.EMBEDDED, backend: str = AUTO) -> Backend:
    """Return the back end with which `load_segmenter` loads a checkpoint; arguments and errors are its own."""
    return find_backend(resolve_checkpoint(checkpoint), backend)


def load_segmenter(
    checkpoint: str | Path = embedded.EMBEDDED,
    backend: str = AUTO,
    device: str = AUTO,
    dtype: str = AUTO,
    *,
    threads: int = 0,
    selection: Selection | None = None,
    revision: str | None = None,
    **options: Any,
) -> Segmenter:
    """Load a checkpoint.

    Args:
        checkpoint: a folder or file, or an id on the Hugging Face hub such as `CircleRadon/InstructSAM-2B`; `embedded`
            for the small network in this package, which knows simulated tabletops only (a folder of that name is
            `./embedded`).
        backend: name of a back end; `auto` for the one that reads the checkpoint.
        device: see `LoadSettings`.
        dtype: see `LoadSettings`.
        threads: see `LoadSettings`. To be effective beside other processes it needs `prepare_threads` before torch is
            imported.
        selection: see `LoadSettings`.
        revision: branch, tag or commit on the hub.
        options: those of the back end, such as `engine='compiled'`; also with its name, `'instructsam.engine'`.

    Raises:
        CheckpointError: the checkpoint is missing or unusable, or no back end reads it.
        ConfigError: an argument or option is unknown or out of range.
    """
    # 1. Find the checkpoint, if necessary on the hub, and the back end.
    source = resolve_checkpoint(checkpoint, revision)
    if checkpoint == embedded.EMBEDDED:
        logger.warning(embedded.NOTE)
    chosen = find_backend(source, backend)
    # 2. Check the options before torch is imported and weights are read.
    values = make_options(chosen.options, own_options(chosen, options), f'back end {chosen.name}')
    settings = LoadSettings(device=device, dtype=dtype, threads=threads, selection=selection)
    return chosen.load(source, settings, values)


def own_options(backend: Backend, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without the name of the back end.

    Raises:
        ConfigError: an option has the name of another back end.
    """
    own = {}
    for name, value in options.items():
        # `engine` and `instructsam.engine` are the same option.
        owner, dot, rest = name.rpartition('.')
        if dot and owner != backend.name:
            raise ConfigError(f'{name}: expected an option of {backend.name}, the back end that loads this checkpoint')
        own[rest] = value
    return own


def resolve_checkpoint(checkpoint: str | Path, revision: str | None = None) -> CheckpointSource:
    """Find the checkpoint of `load_segmenter`, if necessary on the hub.

    Raises:
        CheckpointError: the checkpoint is missing, or `embedded` and not part of this installation.
        ConfigError: the text is empty.
    """
    if not str(checkpoint).strip():
        # Not the embedded one: an empty variable of a script must not put a toy on a robot.
        raise ConfigError(f'checkpoint: {embedded.EXPECTED}; got an empty text')
    if checkpoint != embedded.EMBEDDED:
        return resolve_source(checkpoint, revision=revision)
    if not embedded.FOLDER.is_dir():
        raise CheckpointError(embedded.MISSING)
    return resolve_source(embedded.FOLDER)


def _checked(backend: Any, name: str) -> Backend:
    """Return a published object if it is a back end of this name.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(backend, Backend) or backend.name != name:
        raise ConfigError(f'back end {name!r}: expected a Backend of that name, got {backend!r}')
    return backend
