"""`NodeParameters`: all parameters of the node, each declared once.

`python -m instructsam_ros.node.parameters > config/perception.yaml` writes the file of all parameters and defaults.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from instructsam_model import ConfigError, Instruction, RequestError
from instructsam_model.backends import AUTO, BUILT_IN, backend_names, get_backend
from instructsam_model.options import Options
from instructsam_model.runtime.choices import DTYPE_NAMES
from instructsam_model.runtime.threads import MAX_THREADS
from instructsam_model.weights.embedded import EMBEDDED, EXPECTED
from instructsam_ros.depth3d.depth_options import DepthOptions
from instructsam_ros.inference.image_sizes import ImageSizes, SizeWh
from instructsam_ros.inference.requests import StreamOptions
from instructsam_ros.inference.supervisor import FailureLimits
from instructsam_ros.inference.tracking import TrackingOptions
from instructsam_ros.node.output_options import OutputOptions
from instructsam_ros.node.parameter_declaration import Declaration, declarations
from instructsam_ros.node.request_limits import RequestLimits
from instructsam_ros.options import ParameterGroup, parameter

DEVICE = re.compile(r'auto|cpu|cuda(:\d+)?', re.ASCII)
IMAGE_SIZE = re.compile(r'[1-9]\d{0,4}x[1-9]\d{0,4}', re.ASCII)
CAMERA_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)
RENAMED = {
    'engine': 'instructsam.engine',
    'protocol': 'instructsam.inference_mode',
    'reuse_answers': 'instructsam.speculative_decoding',
    'speculative_decoding': 'instructsam.speculative_decoding',
    'steady_frames': 'instructsam.max_cached_frames',
    'max_cached_frames': 'instructsam.max_cached_frames',
    'max_pixels': 'instructsam.max_pixels',
    'sam3_size': 'instructsam.sam3_size',
    'quantization': 'instructsam.quantization',
}
"""Parameters of earlier versions."""
REQUIRED = {'checkpoint': EXPECTED}
"""Parameters that a file of parameters must give, since the default is not for robots."""


def backend_options(names: Iterable[str]) -> dict[str, Options]:
    """Return the default options of back ends, by the name of the back end."""
    return {name: get_backend(name).options() for name in names}


@dataclass(frozen=True)
class NodeParameters(ParameterGroup):
    """A consistent set of values; the metadata of each field describes it.

    Raises:
        ConfigError: a value is not allowed.
    """

    checkpoint: str = parameter(
        EMBEDDED, 'Folder or hub id of the checkpoint, such as CircleRadon/InstructSAM-2B. embedded: the small '
        'checkpoint in this package, which knows simulated tabletops only and is not for robots.',
        mutable='unconfigured',
    )  # fmt: skip
    backend: str = parameter(
        AUTO, 'Back end that loads the checkpoint. auto: selected by the configuration of the checkpoint. Options of '
        'back ends are named <backend>.<option>; those of the other back ends have no effect.', mutable='unconfigured',
    )  # fmt: skip
    device: str = parameter(
        'auto', 'Device of the model: cpu, cuda, cuda:1, ... auto: a GPU if available.', mutable='unconfigured'
    )
    dtype: str = parameter(
        'auto', 'Precision of the weights. auto: the faster one on a CPU, that of the checkpoint on a GPU.',
        choices=DTYPE_NAMES, mutable='unconfigured',
    )  # fmt: skip
    threads: int = parameter(
        0,
        'Number of CPU threads per request. 0: the number of idle CPUs.',
        range_=(0, MAX_THREADS),
        mutable='unconfigured',
    )
    # One group per back end, named after it: `instructsam.engine`.
    backend_options: Mapping[str, Options] = field(default_factory=lambda: backend_options(backend_names()))
    warmup: bool = parameter(
        True, 'Warm up the model for warmup_sizes during configuration, and later for each new image size, so that the '
        'first result is not slow.', mutable='unconfigured',
    )  # fmt: skip
    warmup_sizes: tuple[str, ...] = parameter(
        ('640x480',), 'Expected image sizes as width x height. Empty strings are ignored.', mutable='unconfigured'
    )
    autostart: bool = parameter(True, 'Configure and activate the node at startup.', mutable='never')
    instruction: str = parameter(
        '', 'Instruction that is applied to every image, like a message on ~/instruction. Empty: idle.'
    )
    instructions: tuple[str, ...] = parameter(
        ('',), 'Additional instructions that are applied to the same images. Empty strings are ignored.'
    )
    # Groups without a prefix: their parameters have no dot.
    stream: StreamOptions = field(default_factory=StreamOptions)
    cameras: tuple[str, ...] = parameter(
        ('',), 'Names of the cameras that share the model. The node subscribes to <name>/image and publishes '
        '~/<name>/segmentation. Empty strings are ignored; without names, there is one camera on the topic image.',
        mutable='never',
    )  # fmt: skip
    image_transport: str = parameter(
        'raw', 'Topic to subscribe to: image (raw) or image/compressed (compressed).', choices=('raw', 'compressed'),
        mutable='unconfigured',
    )  # fmt: skip
    image_timeout: float = parameter(
        5.0, 'Seconds without an image of a camera before a warning is logged and its results are withdrawn.',
        range_=(0.1, 3600.0),
    )  # fmt: skip
    request_timeout: float = parameter(5.0, 'Time limit for requests to ~/segment in seconds.', range_=(0.01, 3600.0))
    requests: RequestLimits = field(default_factory=RequestLimits)
    tf_timeout: float = parameter(
        0.5, 'Maximum time in seconds that a result waits for a transform at the stamp of its image, from the arrival '
        'of the image. The model goes on meanwhile.', range_=(0.0, 10.0),
    )  # fmt: skip
    bond_heartbeat_period: float = parameter(
        0.25, 'Seconds between heartbeats of the bond to the lifecycle manager of nav2, which starts when the node is '
        'activated; needs bondpy. 0: no bond.', range_=(0.0, 60.0),
    )  # fmt: skip
    limits: FailureLimits = field(default_factory=FailureLimits)
    tracking: TrackingOptions = field(default_factory=TrackingOptions, metadata={'prefix': 'tracking'})
    target_frame: str = parameter(
        '', 'Frame of poses, 3D boxes and points in messages, such as base_link. The transform is that at the stamp of '
        'the image; without it, there are no 3D boxes and no points. Needs tf2_ros. Empty: the optical frame of the '
        'camera.', mutable='unconfigured',
    )  # fmt: skip
    outputs: OutputOptions = field(default_factory=OutputOptions)
    depth: DepthOptions = field(default_factory=DepthOptions, metadata={'prefix': 'depth'})

    def __post_init__(self) -> None:
        super().__post_init__()
        # The base class has checked types, ranges and choices.
        if not self.checkpoint.strip():
            raise ConfigError(f'checkpoint: {EXPECTED}; got an empty text')
        if not DEVICE.fullmatch(self.device):
            raise ConfigError(f"device: expected auto, cpu, cuda or cuda:N, got '{self.device}'")
        if self.backend not in (AUTO, *self.backend_options):
            expected = ', '.join((AUTO, *self.backend_options))
            raise ConfigError(f"backend: expected one of {expected}, got '{self.backend}'")
        try:
            parse_instruction(self.instruction)
            parse_instructions(self.instructions)
        except RequestError as error:
            raise ConfigError(str(error)) from error
        parse_sizes(self.warmup_sizes)
        check_cameras(self.cameras)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras; one empty name if no camera has a name."""
        return tuple(name for name in self.cameras if name) or ('',)

    def make_sizes(self) -> ImageSizes:
        """Return the sizes to warm up for."""
        return ImageSizes(parse_sizes(self.warmup_sizes), enabled=self.warmup)


def parse_instruction(text: str) -> Instruction | None:
    """Return the instruction of a text; None, which means idle, if the text is empty.

    Raises:
        RequestError: the text is too long.
    """
    return Instruction(text) if text.strip() else None


def parse_instructions(texts: Sequence[str]) -> tuple[Instruction, ...]:
    """Return the instructions of several texts, without duplicates and empty texts.

    Raises:
        RequestError: a text is too long.
    """
    return tuple(Instruction(text) for text in dict.fromkeys(texts) if text.strip())


def parse_sizes(texts: Sequence[str]) -> tuple[SizeWh, ...]:
    """Return width and height of texts such as 640x480; empty texts are ignored.

    Raises:
        ConfigError: a text has another form.
    """
    given = [text for text in texts if text]
    for text in given:
        if not IMAGE_SIZE.fullmatch(text):
            raise ConfigError(f"warmup_sizes: expected width x height such as '1280x720', got '{text}'")
    return tuple((int(width), int(height)) for width, _, height in (text.partition('x') for text in given))


def check_cameras(names: Sequence[str]) -> None:
    """Check the names of cameras, which become parts of topic names.

    Raises:
        ConfigError: a name cannot be part of a topic name, or is given twice.
    """
    given = [name for name in names if name]
    for name in given:
        # ROS does not allow two underscores in a row in the name of a topic.
        if not CAMERA_NAME.fullmatch(name) or '__' in name:
            raise ConfigError(f"cameras: expected names of topics such as 'left' or 'arm/wrist', got '{name}'")
    if len(set(given)) < len(given):
        raise ConfigError(f'cameras: expected each name once, got {", ".join(given)}')


FILE_HEADER = """\
# All parameters of the node with their defaults. Generated by: python -m instructsam_ros.node.parameters
#   ros2 launch instructsam_ros perception.launch.py params_file:=perception.yaml
# Parameters marked "Dynamic" can be changed at any time with `ros2 param set`, those marked "Fixed" never, and all
# others while the node is unconfigured. `ros2 param describe /segmenter <name>` prints these descriptions.

/**:
  ros__parameters:
"""
FILE_FOOTER = """
    # The QoS of image subscriptions and of all publishers can be overridden, for example:
    # qos_overrides:
    #   /camera/image_raw:          # the topic after remapping
    #     subscription:
    #       reliability: reliable
    #       depth: 1
"""
LINE_WIDTH = 120
MUTABLE_WORDS = {'always': 'Dynamic. ', 'unconfigured': '', 'never': 'Fixed. '}


def make_yaml(defaults: NodeParameters) -> str:
    """Return the text of config/perception.yaml."""
    blocks, last_group = [], ''
    for each in declarations(defaults):
        group_name, _, name = each.name.rpartition('.')
        indent = ' ' * (6 if group_name else 4)
        # The first parameter of a group is preceded by the name of the group.
        lines = [f'    {group_name}:'] if group_name and group_name != last_group else []
        lines += [f'{indent}# {line}' for line in textwrap.wrap(_comment(each), LINE_WIDTH - len(indent) - 2)]
        lines.append(f'{indent}{name}: {_yaml_value(each.default)}')
        blocks.append('\n'.join(lines) + '\n')
        last_group = group_name
    return FILE_HEADER + '\n'.join(blocks) + FILE_FOOTER


def _comment(each: Declaration) -> str:
    choices = f' One of: {", ".join(each.choices)}.' if each.choices else ''
    # 12 digits, so that large integers are not printed as 1e+06.
    limits = f' Range: {each.range_[0]:g} to {each.range_[1]:.12g}.' if each.range_ is not None else ''
    return f'{MUTABLE_WORDS[each.mutable]}{each.description}{choices}{limits}'


def _yaml_value(value: Any) -> str:
    # PyYAML ends a lone scalar with the document end marker '...'.
    return yaml.safe_dump(value, default_flow_style=True, width=LINE_WIDTH).removesuffix('...\n').strip()


if __name__ == '__main__':
    # Only built-in back ends: the file must not depend on other packages that are installed here.
    print(make_yaml(NodeParameters(backend_options=backend_options(BUILT_IN))), end='')
