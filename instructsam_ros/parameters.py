"""The parameters of the node, declared once: name, type, default, range, description and when they may change."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Literal

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from instructsam_model import ConfigError, Instruction, Selection
from instructsam_ros.worker import Tuning

Change = Literal['any time', 'while unconfigured', 'at start']


def _declared(
    default: Any,
    description: str,
    *,
    range_: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    change: Change = 'any time',
) -> Any:
    metadata = {'description': description, 'range': range_, 'choices': choices, 'change': change}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NodeParameters:
    """A consistent set of values; each field's metadata says the rest.

    Raises:
        ConfigError: a value is not allowed.
    """

    checkpoint: str = _declared(
        '', 'Folder or hub id of the checkpoint, such as CircleRadon/InstructSAM-2B.', change='while unconfigured'
    )
    device: str = _declared(
        'auto', 'Where the model runs: cpu, cuda, cuda:1, or auto for the GPU if there is one.',
        change='while unconfigured',
    )  # fmt: skip
    dtype: str = _declared(
        'auto', 'Precision of the model; auto is that of the checkpoint.',
        choices=('auto', 'float32', 'bfloat16', 'float16'), change='while unconfigured',
    )  # fmt: skip
    protocol: str = _declared(
        'trained', 'Positions and visibility of the queries: as in training, or as in the released inference code.',
        choices=('trained', 'released'), change='while unconfigured',
    )  # fmt: skip
    warmup: bool = _declared(
        True, 'Answer a blank picture while configuring, so that the first real answer is not slow.',
        change='while unconfigured',
    )  # fmt: skip
    autostart: bool = _declared(True, 'Configure and activate without being asked.', change='at start')
    instruction: str = _declared(
        '', 'Standing instruction to start with, same as a message on ~/instruction. Empty means idle.'
    )
    score_threshold: float = _declared(0.5, 'Instances must score above this.', range_=(0.0, 1.0))
    mask_threshold: float = _declared(
        0.5, 'A pixel belongs to an object when its probability is above this.', range_=(0.0, 1.0)
    )
    max_instances: int = _declared(20, 'The best so many instances are kept.', range_=(1, 65535))
    max_rate: float = _declared(0.0, 'Hz; answer at most so often. 0 means as fast as it goes.', range_=(0.0, 1000.0))
    max_age: float = _declared(
        0.0, 's; leave out images whose stamp is older when their turn comes. 0 means never.', range_=(0.0, 3600.0)
    )
    image_transport: str = _declared(
        'raw', 'Subscribe to image (raw) or to image/compressed.', choices=('raw', 'compressed'),
        change='while unconfigured',
    )  # fmt: skip
    image_timeout: float = _declared(5.0, 's; warn when no image arrives for so long.', range_=(0.1, 3600.0))
    request_timeout: float = _declared(
        5.0, 's; ~/segment answers that it failed when there is no answer after so long.', range_=(0.01, 3600.0)
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            choices, value = declared.metadata['choices'], getattr(self, declared.name)
            if choices and value not in choices:
                raise ConfigError(f"{declared.name}: expected one of {', '.join(choices)}, got '{value}'")
        standing_instruction(self.instruction)

    @property
    def selection(self) -> Selection:
        """Which of the network's slots become instances."""
        return Selection(self.score_threshold, self.mask_threshold, self.max_instances)

    @property
    def tuning(self) -> Tuning:
        """How the worker answers the standing instruction."""
        return Tuning(self.selection, self.max_rate, self.max_age)


def standing_instruction(text: str) -> Instruction | None:
    """The instruction of a text; None, which means idle, when the text is empty.

    Raises:
        ConfigError: the text is too long.
    """
    return Instruction(text) if text.strip() else None


def declare(node: Node) -> NodeParameters:
    """Declare every parameter on the node and read what launch files and the command line say about them.

    Raises:
        ConfigError: a value is not allowed or of the wrong type.
    """
    for declared in fields(NodeParameters):
        try:
            node.declare_parameter(declared.name, declared.default, _descriptor(declared))
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            raise ConfigError(f'parameter {declared.name}: {error}') from error
    values = {declared.name: node.get_parameter(declared.name).value for declared in fields(NodeParameters)}
    return NodeParameters(**values)


def change(current: NodeParameters, parameters: list[Parameter[Any]], *, unconfigured: bool) -> NodeParameters:
    """The values after setting `parameters`; those of others, such as use_sim_time, are left alone.

    Raises:
        ConfigError: a value is not allowed, or cannot be changed now.
    """
    known = {declared.name: declared for declared in fields(NodeParameters)}
    values = {parameter.name: parameter.value for parameter in parameters if parameter.name in known}
    for name in values:
        if known[name].metadata['change'] == 'while unconfigured' and not unconfigured:
            raise ConfigError(
                f'{name}: can be changed only while the node is unconfigured; '
                f'run ros2 lifecycle set with deactivate and cleanup first, then configure and activate again'
            )
    return replace(current, **values)


def _descriptor(declared: Field[Any]) -> ParameterDescriptor:
    metadata = declared.metadata
    descriptor = ParameterDescriptor(
        description=metadata['description'],
        additional_constraints=f'one of {", ".join(metadata["choices"])}' if metadata['choices'] else '',
        read_only=metadata['change'] == 'at start',
    )
    if metadata['range'] is not None:
        low, high = metadata['range']
        if isinstance(declared.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
