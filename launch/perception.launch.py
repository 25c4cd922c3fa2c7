r"""Starts the segmenter node; by default it configures and activates itself.

ros2 launch instructsam_ros perception.launch.py checkpoint:=CircleRadon/InstructSAM-2B image:=/camera/image_raw

With depth images that are registered to the camera images:

ros2 launch instructsam_ros perception.launch.py ... depth.enabled:=true depth:=/camera/aligned_depth/image_raw \
    camera_info:=/camera/camera_info depth.box_frame:=base_link

With a language model that calls SAM3, see docs/agent.md:

ros2 launch instructsam_ros perception.launch.py checkpoint:=facebook/sam3 backend:=sam3_agent \
    sam3_agent.vlm:=http://localhost:8000/v1 request_timeout:=120

Arguments of parameters override params_file. An empty text is typed none, as ros2 launch does not accept name:= alone:
depth.box_frame:=none
"""

import sys
from pathlib import Path

import launch.logging
from launch import Action, LaunchContext, LaunchDescription, Substitution
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from instructsam_model import ConfigError
from instructsam_ros.node.fastdds import transport_environment
from instructsam_ros.node.launch_arguments import (
    CAMERAS_HELP,
    NOT_GIVEN,
    check_arguments,
    describe,
    is_top_level,
    parse_cameras,
    parse_flag,
    parse_number,
    parse_parameters,
    reliability_overrides,
    remap_topics,
    unknown_arguments,
)
from instructsam_ros.node.parameter_sources import read_file
from instructsam_ros.node.parameters import NodeParameters

FILE = Path(__file__).name
PARAMS_FILE = PathJoinSubstitution([FindPackageShare('instructsam_ros'), 'config', 'perception.yaml'])
PARAMETERS = (
    'checkpoint',
    'backend',
    'device',
    'image_transport',
    'instruction',
    'depth.enabled',
    'depth.image_transport',
    'depth.box_frame',
    'depth.box_plane',
    'autostart',
    'request_timeout',
    'sam3_agent.vlm',
    'sam3_agent.model',
    'sam3_agent.api_key_env',
)
"""Arguments that set the parameter of their name."""
ARGUMENTS = {
    'image': ('image', 'Topic of the camera images, without the name of the transport.'),
    'depth': (
        'depth/image',
        'Topic of the depth images, which must be registered to the camera images, without the name of the transport.',
    ),
    'camera_info': ('camera_info', 'Topic of the camera calibration.'),
    'cameras': (NOT_GIVEN, CAMERAS_HELP),
    'image_reliability': (
        NOT_GIVEN,
        'Reliability of the subscriptions to images and depth images: best_effort (the default of the node, which '
        'matches every publisher) or reliable (no images are lost on the way, if the publisher is reliable too).',
    ),
    'params_file': (PARAMS_FILE, 'YAML file of parameters of the node; it must set checkpoint.'),
    'namespace': ('', 'Namespace of the node.'),
    'node_name': (
        'segmenter',
        'Name of the node: the prefix of its topics, ~/segmentation is /<node_name>/segmentation.',
    ),
    'tf_topic': ('/tf', 'Topic of the transforms; tf for that in the namespace of the node.'),
    'tf_static_topic': (
        [LaunchConfiguration('tf_topic'), '_static'],
        'Topic of the static transforms; by default, tf_topic with _static.',
    ),
    'use_sim_time': (NOT_GIVEN, 'Use the time from /clock, for a bag or a simulation: true or false.'),
    'respawn': ('false', 'Start the node again when its process ends, except at the end of the launch: true or false.'),
    'respawn_delay': ('2.0', 'Seconds before the node is started again.'),
    'log_level': ('info', 'Minimum severity of log messages.'),
}
"""The other arguments: default and description."""
CHOICES = {
    'image_reliability': (NOT_GIVEN, 'best_effort', 'reliable'),
    'log_level': ('debug', 'info', 'warn', 'error', 'fatal'),
}


def generate_launch_description() -> LaunchDescription:
    """The launch arguments and the node."""
    return LaunchDescription([
        *(_declare(name, default, description) for name, (default, description) in ARGUMENTS.items()),
        *(_declare(name, NOT_GIVEN, describe(NodeParameters(), name)) for name in PARAMETERS),
        OpaqueFunction(function=_start),
    ])  # fmt: skip


def _declare(name: str, default: str | Substitution | list, description: str) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=CHOICES.get(name))


def _start(context: LaunchContext) -> list[Action]:
    try:
        return _prepare(context)
    except ConfigError as error:
        if is_top_level(FILE, sys.argv):
            raise
        # An exception would leave the processes behind that the file which includes this one has started.
        launch.logging.get_logger(FILE).error(str(error))
        return [Shutdown(reason=f'{FILE} cannot start the segmenter: {error}')]


def _prepare(context: LaunchContext) -> list[Action]:
    """Return the node; all arguments are checked before its process starts.

    Raises:
        ConfigError: an argument is unknown or has a value that is not allowed.
    """
    _check_names(context)
    given = {name: LaunchConfiguration(name).perform(context) for name in (*ARGUMENTS, *PARAMETERS)}
    read_file(Path(given['params_file']))
    namespace = make_namespace_absolute(
        prefix_namespace(context.launch_configurations.get('ros_namespace'), given['namespace'])
    )
    cameras = _cameras(given)
    node = LifecycleNode(
        package='instructsam_ros',
        executable='segmenter',
        name=given['node_name'],
        namespace=given['namespace'],
        # launch_ros would write an empty file for no overrides, which the node refuses.
        parameters=[given['params_file'], *filter(None, [_overrides(given, cameras, namespace or '/')])],
        remappings=[
            *remap_topics(cameras),
            ('/tf', given['tf_topic']),
            ('/tf_static', given['tf_static_topic']),
        ],
        ros_arguments=['--log-level', given['log_level']],
        respawn=parse_flag('respawn', given['respawn']),
        respawn_delay=parse_number('respawn_delay', given['respawn_delay']),
        output='screen',
    )
    transport = transport_environment(context.environment)
    return [*(SetEnvironmentVariable(name, value) for name, value in transport.items()), node]


def _check_names(context: LaunchContext) -> None:
    """Check the names of the arguments.

    Raises:
        ConfigError: one is unknown, and this is the file of the command line. One that includes it may have arguments
            of its own: then names that resemble one of these are warned of.
    """
    declared = (*ARGUMENTS, *PARAMETERS)
    if is_top_level(FILE, sys.argv):
        check_arguments(context.launch_configurations, declared, FILE)
    for name, close in unknown_arguments(context.launch_configurations, declared).items():
        if close:
            launch.logging.get_logger(FILE).warning(
                f'{name}: no argument of {FILE}; did you mean {" or ".join(close)}? Or has another file this argument?'
            )


def _cameras(given: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the topics of each camera by its name."""
    single = {name: given[name] for name in ('image', 'depth', 'camera_info')}
    cameras = parse_cameras(given['cameras']) if given['cameras'] != NOT_GIVEN else {}
    changed = [name for name, topic in single.items() if topic != ARGUMENTS[name][0]]
    if cameras and changed:
        raise ConfigError(f'{changed[0]}: expected the topics of each camera in the argument cameras. {CAMERAS_HELP}')
    return cameras or {'': single}


def _overrides(given: dict[str, str], cameras: dict[str, dict[str, str]], namespace: str) -> dict[str, object]:
    """Return the parameters that arguments set."""
    values = parse_parameters(NodeParameters(), {name: given[name] for name in PARAMETERS})
    if given['cameras'] != NOT_GIVEN:
        values['cameras'] = [name for name in cameras if name] or ['']
    if given['use_sim_time'] != NOT_GIVEN:
        values['use_sim_time'] = parse_flag('use_sim_time', given['use_sim_time'])
    if (reliability := given['image_reliability']) != NOT_GIVEN:
        values |= reliability_overrides(cameras, reliability, given['node_name'], namespace)
    return values
