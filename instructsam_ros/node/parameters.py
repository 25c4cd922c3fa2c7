"""The parameters of the node, declared once: name, type, default, range, description and when they may change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from instructsam_model import ConfigError, Instruction, Selection
from instructsam_model.runtime.choices import ENGINES, QUANTIZATIONS, UNQUANTIZED
from instructsam_ros.depth3d.depth_input import DepthOptions
from instructsam_ros.inference.image_sizes import Sizes, SizeWh
from instructsam_ros.inference.requests import StreamOptions
from instructsam_ros.inference.supervisor import Limits
from instructsam_ros.node.parameter_declaration import Parameters, declared

IMAGE_SIZE = re.compile(r'[1-9]\d{0,4}x[1-9]\d{0,4}', re.ASCII)
CAMERA_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)


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
        'auto', 'Precision of the model; auto is the fastest on a CPU, and that of the checkpoint on a GPU.',
        choices=('auto', 'float32', 'bfloat16', 'float16'), change='while unconfigured',
    )  # fmt: skip
    engine: str = declared(
        'auto', 'How the model runs: eager, operation by operation, or compiled, fused and on CUDA replayed as graphs; '
        'auto is compiled on CUDA and eager elsewhere.', choices=ENGINES, change='while unconfigured',
    )  # fmt: skip
    threads: int = declared(
        0, 'Threads of the CPU that an answer takes. 0 means as many as are free at the time.',
        range_=(0, 1024), change='while unconfigured',
    )  # fmt: skip
    protocol: str = declared(
        'trained', 'Positions and visibility of the queries: as in training, or as in the released inference code.',
        choices=('trained', 'released'), change='while unconfigured',
    )  # fmt: skip
    speculative_decoding: bool = declared(
        True, 'Try the last answer to an instruction on the next image before writing a new one: faster, and the same '
        'but for rounding.', change='while unconfigured',
    )  # fmt: skip
    max_cached_frames: int = declared(
        0, 'While the image hardly changes, what the language model said about one may serve so many more, and SAM3 '
        'alone looks at them: much faster, no longer exact. 0 for none.',
        range_=(0, 1000), change='while unconfigured',
    )  # fmt: skip
    max_pixels: int = declared(
        0, 'Images are shrunk to so many pixels for the language model: faster, and small things are lost. 0 for the '
        "checkpoint's bound.", change='while unconfigured',
    )  # fmt: skip
    sam3_size: int = declared(
        0, 'Pixels; side of the square that SAM3 sees, a multiple of its attention windows, 336 for the published one. '
        "0 for the checkpoint's.", range_=(0, 4032), change='while unconfigured',
    )  # fmt: skip
    quantization: str = declared(
        UNQUANTIZED, 'Keep the large weights as int8 or fp8 with a scale for each row, which needs torchao: half the '
        'memory of 16 bits.', choices=QUANTIZATIONS, change='while unconfigured',
    )  # fmt: skip
    warmup: bool = declared(
        True, 'Make the model ready, while configuring for warmup_sizes, later for each other size in which images '
        'come, so that no answer is slow.', change='while unconfigured',
    )  # fmt: skip
    warmup_sizes: tuple[str, ...] = declared(
        ('640x480',), 'Width x height of the images of the cameras, as far as they are known. Empty ones do not count.',
        change='while unconfigured',
    )  # fmt: skip
    autostart: bool = declared(True, 'Configure and activate without being asked.', change='at start')
    instruction: str = declared(
        '', 'Standing instruction to start with, same as a message on ~/instruction. Empty means idle.'
    )
    instructions: tuple[str, ...] = declared(
        ('',),
        'Further standing instructions, answered about the same images one after another. Empty ones do not count.',
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
    cameras: tuple[str, ...] = declared(
        ('',), 'Names of the cameras that share the model: <name>/image comes in, ~/<name>/segmentation goes out. '
        'Empty ones do not count, and without any name there is one camera, on image.', change='at start',
    )  # fmt: skip
    image_transport: str = declared(
        'raw', 'Subscribe to image (raw) or to image/compressed.', choices=('raw', 'compressed'),
        change='while unconfigured',
    )  # fmt: skip
    image_timeout: float = declared(5.0, 's; warn when no image arrives for so long.', range_=(0.1, 3600.0))
    request_timeout: float = declared(
        5.0, 's; ~/segment answers that it failed when there is no answer after so long.', range_=(0.01, 3600.0)
    )
    stuck_timeout: float = declared(
        120.0, 's; report a model that is busy with one image for so long, and after twice as long load another. '
        '0 means never.', range_=(0.0, 86400.0),
    )  # fmt: skip
    max_failures: int = declared(
        0,
        'After so many failures of the model in a row the node deactivates itself. 0 means never.',
        range_=(0, 100000),
    )
    tracking: bool = declared(
        True, 'Give instances of standing instructions ids that stay with the object.', name='tracking.enabled'
    )
    tracking_min_iou: float = declared(
        0.3, 'Masks of one object in two images overlap at least so much (intersection over union).',
        range_=(0.0, 1.0), name='tracking.min_iou',
    )  # fmt: skip
    tracking_max_missed: int = declared(
        15, 'An object that is absent from more images than this gets a new id.', range_=(0, 10000),
        name='tracking.max_missed',
    )  # fmt: skip
    depth_enabled: bool = declared(
        False, 'Listen to depth/image and camera_info of each camera, and say where things are in 3D.',
        name='depth.enabled', change='while unconfigured',
    )  # fmt: skip
    depth_max_offset: float = declared(
        0.02, 's; depth belongs to an image when their stamps are at most so far apart.',
        range_=(0.0, 1.0), name='depth.max_offset',
    )  # fmt: skip
    depth_min: float = declared(0.1, 'm; nearer depth is left out.', range_=(0.0, 1000.0), name='depth.min')
    depth_max: float = declared(3.0, 'm; farther depth is left out.', range_=(0.0, 1000.0), name='depth.max')
    depth_box_frame: str = declared(
        '', 'Frame in which 3D boxes stand upright, its z up, such as base_link; needs tf2_ros. Empty: boxes lie along '
        'the principal axes of their points.', name='depth.box_frame', change='while unconfigured',
    )  # fmt: skip
    depth_box_plane: bool = declared(
        False, '3D boxes stand upright on the largest plane that depth shows, a table or a floor; needs no transform.',
        name='depth.box_plane',
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        standing_instruction(self.instruction)
        standing_instructions(self.instructions)
        read_sizes(self.warmup_sizes)
        check_cameras(self.cameras)
        if self.depth_min >= self.depth_max:
            raise ConfigError(f'depth.min: expected less than depth.max, {self.depth_max:g}, got {self.depth_min:g}')
        if self.depth_box_frame and self.depth_box_plane:
            raise ConfigError(
                f"depth.box_plane: expected false with depth.box_frame '{self.depth_box_frame}'; one says what is up"
            )

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The names of the cameras; one empty name where there is a single camera without."""
        return tuple(name for name in self.cameras if name) or ('',)

    @property
    def sizes(self) -> Sizes:
        """What the model is made ready for."""
        return Sizes(read_sizes(self.warmup_sizes), enabled=self.warmup)

    @property
    def selection(self) -> Selection:
        """Which of the network's slots become instances."""
        return Selection(self.score_threshold, self.mask_threshold, self.max_instances)

    @property
    def tuning(self) -> StreamOptions:
        """How the worker answers the standing instruction."""
        return StreamOptions(self.selection, self.max_rate, self.max_age)

    @property
    def limits(self) -> Limits:
        """How much of the model is put up with."""
        return Limits(self.stuck_timeout, self.max_failures)

    @property
    def depth(self) -> DepthOptions:
        """How 3D is made of depth."""
        return DepthOptions(
            self.depth_enabled,
            self.depth_max_offset,
            (self.depth_min, self.depth_max),
            self.depth_box_frame,
            self.depth_box_plane,
        )


def standing_instruction(text: str) -> Instruction | None:
    """The instruction of a text; None, which means idle, when the text is empty.

    Raises:
        ConfigError: the text is too long.
    """
    return Instruction(text) if text.strip() else None


def standing_instructions(texts: Sequence[str]) -> tuple[Instruction, ...]:
    """The instructions of several texts, each once; empty texts do not count.

    Raises:
        ConfigError: a text is too long.
    """
    return tuple(Instruction(text) for text in dict.fromkeys(texts) if text.strip())


def read_sizes(texts: Sequence[str]) -> tuple[SizeWh, ...]:
    """Width and height of texts such as 640x480; empty ones do not count.

    Raises:
        ConfigError: a text is something else.
    """
    for text in filter(None, texts):
        if not IMAGE_SIZE.fullmatch(text):
            raise ConfigError(f"warmup_sizes: expected width x height such as '1280x720', got '{text}'")
    return tuple((int(width), int(height)) for width, _, height in (text.partition('x') for text in texts if text))


def check_cameras(names: Sequence[str]) -> None:
    """Check the names of cameras, which become parts of the names of topics.

    Raises:
        ConfigError: a name cannot be part of one, or stands there twice.
    """
    given = [name for name in names if name]
    for name in given:
        if not CAMERA_NAME.fullmatch(name) or '__' in name:
            raise ConfigError(f"cameras: expected names of topics such as 'left' or 'arm/wrist', got '{name}'")
    if len(set(given)) < len(given):
        raise ConfigError(f'cameras: expected each name once, got {", ".join(given)}')
