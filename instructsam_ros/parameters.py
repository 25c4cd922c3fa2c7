"""The parameters of the node, declared once: name, type, default, range, description and when they may change."""

from __future__ import annotations

from dataclasses import dataclass

from instructsam_model import ConfigError, Instruction, Selection
from instructsam_ros.declared import Parameters, declared
from instructsam_ros.depth_input import DepthOptions
from instructsam_ros.worker import Tuning


@dataclass(frozen=True)
class NodeParameters(Parameters):
    """A consistent set of values; each field's metadata says the rest.

    Raises:
        ConfigError: a value is not allowed.
    """

    checkpoint: str = declared(
        '',
        'Folder or hub id of the checkpoint, such as CircleRadon/InstructSAM-2B. Empty: the small one of this package.',
        change='while unconfigured',
    )
    device: str = declared(
        'auto', 'Where the model runs: cpu, cuda, cuda:1, or auto for the GPU if there is one.',
        change='while unconfigured',
    )  # fmt: skip
    dtype: str = declared(
        'auto', 'Precision of the model; auto is that of the checkpoint.',
        choices=('auto', 'float32', 'bfloat16', 'float16'), change='while unconfigured',
    )  # fmt: skip
    protocol: str = declared(
        'trained', 'Positions and visibility of the queries: as in training, or as in the released inference code.',
        choices=('trained', 'released'), change='while unconfigured',
    )  # fmt: skip
    warmup: bool = declared(
        True, 'Answer a blank picture while configuring, so that the first real answer is not slow.',
        change='while unconfigured',
    )  # fmt: skip
    autostart: bool = declared(True, 'Configure and activate without being asked.', change='at start')
    instruction: str = declared(
        '', 'Standing instruction to start with, same as a message on ~/instruction. Empty means idle.'
    )
    score_threshold: float = declared(0.5, 'Instances must score above this.', range_=(0.0, 1.0))
    mask_threshold: float = declared(
        0.5, 'A pixel belongs to an object when its probability is above this.', range_=(0.0, 1.0)
    )
    max_instances: int = declared(20, 'The best so many instances are kept.', range_=(1, 65535))
    max_rate: float = declared(0.0, 'Hz; answer at most so often. 0 means as fast as it goes.', range_=(0.0, 1000.0))
    max_age: float = declared(
        0.0, 's; leave out images whose stamp is older when their turn comes. 0 means never.', range_=(0.0, 3600.0)
    )
    image_transport: str = declared(
        'raw', 'Subscribe to image (raw) or to image/compressed.', choices=('raw', 'compressed'),
        change='while unconfigured',
    )  # fmt: skip
    image_timeout: float = declared(5.0, 's; warn when no image arrives for so long.', range_=(0.1, 3600.0))
    request_timeout: float = declared(
        5.0, 's; ~/segment answers that it failed when there is no answer after so long.', range_=(0.01, 3600.0)
    )
    depth_enabled: bool = declared(
        False, 'Listen to depth/image and camera_info, and say where things are in 3D.',
        name='depth.enabled', change='while unconfigured',
    )  # fmt: skip
    depth_max_offset: float = declared(
        0.02, 's; depth belongs to an image when their stamps are at most so far apart.',
        name='depth.max_offset', range_=(0.0, 1.0),
    )  # fmt: skip
    depth_min: float = declared(0.1, 'm; nearer depth is left out.', name='depth.min', range_=(0.0, 1000.0))
    depth_max: float = declared(3.0, 'm; farther depth is left out.', name='depth.max', range_=(0.0, 1000.0))
    depth_box_frame: str = declared(
        '', 'Frame in which 3D boxes stand upright, its z up, such as base_link; needs tf2_ros. Empty: boxes lie along '
        'the principal axes of their points.', name='depth.box_frame', change='while unconfigured',
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        standing_instruction(self.instruction)
        if self.depth_min >= self.depth_max:
            raise ConfigError(f'depth.min: expected less than depth.max, {self.depth_max:g}, got {self.depth_min:g}')

    @property
    def selection(self) -> Selection:
        """Which of the network's slots become instances."""
        return Selection(self.score_threshold, self.mask_threshold, self.max_instances)

    @property
    def tuning(self) -> Tuning:
        """How the worker answers the standing instruction."""
        return Tuning(self.selection, self.max_rate, self.max_age)

    @property
    def depth(self) -> DepthOptions:
        """How 3D is made of depth."""
        return DepthOptions(
            self.depth_enabled, self.depth_max_offset, (self.depth_min, self.depth_max), self.depth_box_frame
        )


def standing_instruction(text: str) -> Instruction | None:
    """The instruction of a text; None, which means idle, when the text is empty.

    Raises:
        ConfigError: the text is too long.
    """
    return Instruction(text) if text.strip() else None
