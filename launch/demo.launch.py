"""Starts a simulated camera above a table, the segmenter node and, optionally, RViz.

ros2 launch instructsam_ros demo.launch.py rviz:=true

The instruction is one that is true of the scene, until a message on ~/instruction of the segmenter replaces it.
"""

import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from instructsam_model import ConfigError
from instructsam_ros.node.fastdds import transport_environment
from instructsam_ros.node.launch_arguments import (
    NOT_GIVEN,
    check_arguments,
    describe,
    is_top_level,
    parse_flag,
    parse_parameters,
)
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.sim.sim_camera import CameraParameters

FROM_SCENE = '<scene>'
FORWARDED = {
    'instruction': FROM_SCENE,
    'checkpoint': 'embedded',
    'backend': NOT_GIVEN,
    'device': NOT_GIVEN,
    'depth.enabled': 'true',
    'depth.box_frame': 'table',
}
"""Arguments of perception.launch.py with their defaults here."""
CAMERA = {'seed': '1', 'rate_hz': '5.0', 'moving': 'true'}
"""Arguments that set the parameter of the camera, with their defaults here."""
RVIZ_FILE = PathJoinSubstitution([FindPackageShare('instructsam_ros'), 'rviz', 'demo.rviz'])


def generate_launch_description() -> LaunchDescription:
    """The launch arguments, the segmenter, the camera and RViz."""
    descriptions = {name: describe(NodeParameters(), name) for name in FORWARDED}
    descriptions['instruction'] += f' {FROM_SCENE}: one that is true of the scene, also of the next one.'
    return LaunchDescription([
        *(
            DeclareLaunchArgument(name, default_value=default, description=descriptions[name])
            for name, default in FORWARDED.items()
        ),
        *(
            DeclareLaunchArgument(name, default_value=default, description=describe(CameraParameters(), name))
            for name, default in CAMERA.items()
        ),
        DeclareLaunchArgument('rviz', default_value='false', description='Start RViz: true or false.'),
        OpaqueFunction(function=_start),
    ])  # fmt: skip


def _start(context: LaunchContext) -> list[Action]:
    # Everything is checked before the first process starts: launch leaves running ones behind after an error.
    file = Path(__file__).name
    if is_top_level(file, sys.argv):
        check_arguments(context.launch_configurations, (*FORWARDED, *CAMERA, 'rviz'), file)
    given = {name: LaunchConfiguration(name).perform(context) for name in (*FORWARDED, *CAMERA, 'rviz')}
    camera = parse_parameters(CameraParameters(), {name: given[name] for name in CAMERA})
    from_scene = given['instruction'] == FROM_SCENE
    forwarded = {name: given[name] for name in FORWARDED} | ({'instruction': NOT_GIVEN} if from_scene else {})
    parse_parameters(NodeParameters(), forwarded)
    rviz = _rviz() if parse_flag('rviz', given['rviz']) else []
    perception = PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/perception.launch.py'])
    return [
        *(SetEnvironmentVariable(name, value) for name, value in transport_environment(context.environment).items()),
        # First, as it checks its arguments too.
        IncludeLaunchDescription(perception, launch_arguments=forwarded.items()),
        Node(
            package='instructsam_ros',
            executable='sim_camera',
            parameters=[camera],
            remappings=[('~/ground_truth/instruction', 'segmenter/instruction')] if from_scene else [],
            output='screen',
        ),
        RegisterEventHandler(OnProcessExit(on_exit=_end_with_any)),
        *rviz,
    ]


def _end_with_any(event: ProcessExited, context: LaunchContext) -> list[Action]:
    """End the demo if the camera or the segmenter has ended; RViz can be closed."""
    is_part = isinstance(event.action, Node) and event.action.node_package == 'instructsam_ros'
    if not is_part or context.is_shutdown:
        return []
    reason = f'{event.process_name} has ended, and so does the demo'
    return [LogInfo(msg=reason), Shutdown(reason=reason)]


def _rviz() -> list[Node]:
    """Return RViz.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError as error:
        raise ConfigError(
            'rviz: the package rviz2 is not installed; install it (apt install ros-$ROS_DISTRO-rviz2) or leave rviz out'
        ) from error
    return [Node(package='rviz2', executable='rviz2', arguments=['-d', RVIZ_FILE])]
