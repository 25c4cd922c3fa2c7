"""How the node gets its segmenter."""

from __future__ import annotations

from typing import Any, Protocol

from instructsam_model import ConfigError, FrameError, Segmenter
from instructsam_ros.inference.image_sizes import Sizes, describe
from instructsam_ros.node.parameters import NodeParameters


class Load(Protocol):
    """Makes the segmenter; the arguments are those of `instructsam_model.load_segmenter`."""

    def __call__(
        self,
        checkpoint: str,
        /,
        *,
        device: str,
        dtype: str,
        engine: str,
        threads: int,
        inference_mode: str,
        speculative_decoding: bool,
        max_cached_frames: int,
        max_pixels: int,
        sam3_size: int,
        quantization: str,
    ) -> Segmenter:
        """Load the checkpoint; raises CheckpointError or ConfigError when that cannot be done."""
        ...


def load_checkpoint(checkpoint: str, /, **options: Any) -> Segmenter:
    """Load InstructSAM, and with it torch, which takes seconds: not before there is something to load.

    Raises:
        CheckpointError, ConfigError: as `load_segmenter`.
    """
    from instructsam_model import load_segmenter

    return load_segmenter(checkpoint, **options)


class WarmUpError(RuntimeError):
    """A model that was loaded cannot be made ready for a size."""


def load_warm(load: Load, values: NodeParameters, sizes: Sizes) -> Segmenter:
    """Load what the parameters name, and make it ready for every size that is known.

    Raises:
        CheckpointError, ConfigError: as `load`, or it cannot answer about images of a size that the parameters name.
        WarmUpError: it failed otherwise; the message names the size.
    """
    segmenter = load(
        values.checkpoint,
        device=values.device,
        dtype=values.dtype,
        engine=values.engine,
        threads=values.threads,
        inference_mode=values.protocol,
        speculative_decoding=values.speculative_decoding,
        max_cached_frames=values.max_cached_frames,
        max_pixels=values.max_pixels,
        sam3_size=values.sam3_size,
        quantization=values.quantization,
    )
    sizes.start_over()
    while (size_wh := sizes.take()) is not None:
        try:
            segmenter.warm_up(size_wh)
        except FrameError as error:
            if size_wh in sizes.hints:
                raise ConfigError(f'warmup_sizes: {error}') from error
            # else a camera has it, and the answers about its images say the same
        except Exception as error:
            raise WarmUpError(f'{describe(size_wh)} failed: {type(error).__name__}: {error}') from error
        finally:
            sizes.finish()
    return segmenter
