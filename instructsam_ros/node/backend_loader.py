"""Loads the segmenter of the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from instructsam_model import ConfigError, FrameError, Segmenter, load_segmenter
from instructsam_model.backends import find_checkpoint_backend
from instructsam_model.weights import embedded
from instructsam_ros.inference.image_sizes import ImageSizes, SizeWh, describe_warm_up
from instructsam_ros.node.parameters import NodeParameters

Load = Callable[[NodeParameters], Segmenter]
"""Loads the segmenter that the parameters describe; raises CheckpointError or ConfigError."""


class WarmUpError(RuntimeError):
    """The warm-up of a loaded model failed."""


ADAPTER_SEPARATOR = ' + '
"""Between the names of a checkpoint and of its adapter."""


def checkpoint_name(parameters: NodeParameters) -> str:
    """Return the name of the checkpoint for results and diagnostics, with that of its adapter, if there is one.

    It is `embedded` also if the folder of the embedded checkpoint is given.
    """
    is_embedded = Path(parameters.checkpoint).resolve() == embedded.FOLDER.resolve()
    name = embedded.EMBEDDED if is_embedded else parameters.checkpoint
    adapters: list[str] = [getattr(options, 'adapter', '') for options in parameters.backend_options.values()]
    return ADAPTER_SEPARATOR.join([name, *filter(None, adapters)])


def backend_name(load: Load, parameters: NodeParameters) -> str:
    """Return the name of the back end that `load` uses; of loaders other than `load_checkpoint`, the parameter.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    if load is not load_checkpoint:
        return parameters.backend
    return find_checkpoint_backend(parameters.checkpoint, parameters.backend).name


def load_checkpoint(parameters: NodeParameters) -> Segmenter:
    """Load a checkpoint with the options of its back end; takes seconds, because it imports torch.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    backend = find_checkpoint_backend(parameters.checkpoint, parameters.backend)
    for name, options in parameters.backend_options.items():
        adapter: str = getattr(options, 'adapter', '')
        # Other options of other back ends have no effect, but a model without its adapter is another model.
        if adapter and name != backend.name:
            raise ConfigError(
                f'{name}.adapter: expected a checkpoint that {name} loads, got {parameters.checkpoint!r}, which '
                f'{backend.name} loads; clear the adapter or change the checkpoint'
            )
    return load_segmenter(
        parameters.checkpoint,
        backend.name,
        parameters.device,
        parameters.dtype,
        threads=parameters.threads,
        **asdict(parameters.backend_options[backend.name]),
    )


def load_and_warm_up(load: Load, parameters: NodeParameters, sizes: ImageSizes) -> Segmenter:
    """Load the segmenter and warm it up for every size that is known.

    Raises:
        CheckpointError, ConfigError: as `load`, or the segmenter cannot process images of a size of the parameters.
        WarmUpError: a warm-up failed otherwise; the message names the size.
    """
    segmenter = load(parameters)
    # All sizes, also those of an earlier segmenter that was replaced.
    sizes.reset()
    try:
        while (size_wh := sizes.start_next()) is not None:
            _warm_up(segmenter, size_wh, sizes)
    except Exception:
        segmenter.close()  # it must not keep its memory while the node is unconfigured
        raise
    return segmenter


def _warm_up(segmenter: Segmenter, size_wh: SizeWh, sizes: ImageSizes) -> None:
    try:
        segmenter.warm_up(size_wh)
    except FrameError as error:
        # Other sizes are those of a camera: the results for its images report the error.
        if size_wh in sizes.hints:
            raise ConfigError(f'warmup_sizes: {error}') from error
    except Exception as error:
        raise WarmUpError(f'{describe_warm_up(size_wh)} failed: {type(error).__name__}: {error}') from error
    finally:
        sizes.finish()
