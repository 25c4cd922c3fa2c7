"""Loads the segmenter of the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from instructsam_model import CheckpointError, ConfigError, FrameError, Segmenter, load_segmenter
from instructsam_model.backends import find_backend
from instructsam_model.weights import bundled
from instructsam_model.weights.hub import resolve_source
from instructsam_ros.inference.image_sizes import ImageSizes, describe_warm_up
from instructsam_ros.node.parameters import NodeParameters

Load = Callable[[NodeParameters], Segmenter]
"""Loads the segmenter that the parameters describe; raises CheckpointError or ConfigError."""


class WarmUpError(RuntimeError):
    """The warm-up of a loaded model failed."""


def load_checkpoint(parameters: NodeParameters) -> Segmenter:
    """Load a checkpoint with the options of its back end; takes seconds, because it imports torch.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    if not parameters.checkpoint and not bundled.FOLDER.is_dir():
        raise CheckpointError(bundled.MISSING)
    backend = find_backend(resolve_source(parameters.checkpoint or bundled.FOLDER), parameters.backend)
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
    sizes.reset()
    while (size_wh := sizes.start_next()) is not None:
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
    return segmenter
