"""Starts a simulated camera over a table, the segmenter node and, if wanted, RViz.

ros2 launch instructsam_ros demo.launch.py rviz:=true instruction:='all the boxes'
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from instructsam_ros.node.fastdds import transport_environment

PASSED_ON = {
    'instruction': 'Standing instruction to start with; ~/instruction of the segmenter replaces it.',
    'checkpoint': 'Folder or hub id of the checkpoint. Empty: the small one of this package, which knows such tables.',
    'device': 'Where the model runs: cpu, cuda, cuda:1, or auto for the GPU if there is one.',
    'depth.enabled': 'Say where things are in 3D.',
    'depth.box_frame': 'Frame in which 3D boxes stand upright. Empty: boxes lie along their principal axes.',
}
DEFAULTS = {'depth.enabled': 'true', 'depth.box_frame': 'table'}
CAMERA = {'seed': int, 'rate_hz': float, 'moving': bool}
RVIZ_FILE = PathJoinSubstitution([FindPackageShare('instructsam_ros'), 'rviz', 'demo.rviz'])


def generate_launch_description() -> LaunchDescription:
    """The arguments, then the camera, the segmenter and RViz."""
    flag = ('true', 'false')
    configurations = {name: LaunchConfiguration(name) for name in PASSED_ON}
    perception = PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/perception.launch.py'])
    parameters = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in CAMERA.items()}
    return LaunchDescription([
        *(
            DeclareLaunchArgument(name, default_value=DEFAULTS.get(name, ''), description=text)
            for name, text in PASSED_ON.items()
        ),
        DeclareLaunchArgument('seed', default_value='1', description='Which scene is on the table.'),
        DeclareLaunchArgument('rate_hz', default_value='5.0', description='Pictures per second.'),
        DeclareLaunchArgument(
            'moving', default_value='true', description='The camera swings, and one thing slides.', choices=flag
        ),
        DeclareLaunchArgument('rviz', default_value='false', description='Show it all in RViz.', choices=flag),
        OpaqueFunction(function=_set_transport),
        Node(package='instructsam_ros', executable='sim_camera', parameters=[parameters], output='screen'),
        IncludeLaunchDescription(perception, launch_arguments=configurations.items()),
        Node(
            package='rviz2',
            executable='rviz2',
            arguments=['-d', RVIZ_FILE],
            condition=IfCondition(LaunchConfiguration('rviz')),
        ),
    ])  # fmt: skip


def _set_transport(context: LaunchContext) -> list[SetEnvironmentVariable]:
    transport = transport_environment(context.environment)
    return [SetEnvironmentVariable(name, value) for name, value in transport.items()]
