"""Starts a simulated camera above a table, the segmenter node and, optionally, RViz.

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

FORWARDED_ARGUMENTS = {
    'instruction': 'Initial continuous instruction; a message on ~/instruction of the segmenter replaces it.',
    'checkpoint': 'Folder or hub id of the checkpoint. Empty: the embedded one, trained on the simulated table.',
    'backend': 'Back end that loads the checkpoint, such as sam3. Empty: the one that reads it.',
    'device': 'Device of the model: cpu, cuda, cuda:1, ... Empty: a GPU if there is one.',
    'depth.enabled': 'Estimate 3D boxes and points from depth.',
    'depth.box_frame': 'Frame whose z axis 3D boxes are aligned with. Empty: their principal axes.',
}
DEFAULTS = {'depth.enabled': 'true', 'depth.box_frame': 'table'}
CAMERA = {'seed': int, 'rate_hz': float, 'moving': bool}
RVIZ_FILE = PathJoinSubstitution([FindPackageShare('instructsam_ros'), 'rviz', 'demo.rviz'])


def generate_launch_description() -> LaunchDescription:
    """The launch arguments, the camera, the segmenter and RViz."""
    flag = ('true', 'false')
    configurations = {name: LaunchConfiguration(name) for name in FORWARDED_ARGUMENTS}
    perception = PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/perception.launch.py'])
    parameters = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in CAMERA.items()}
    return LaunchDescription([
        *(
            DeclareLaunchArgument(name, default_value=DEFAULTS.get(name, ''), description=text)
            for name, text in FORWARDED_ARGUMENTS.items()
        ),
        DeclareLaunchArgument('seed', default_value='1', description='Seed of the scene on the table.'),
        DeclareLaunchArgument('rate_hz', default_value='5.0', description='Images per second.'),
        DeclareLaunchArgument(
            'moving',
            default_value='true',
            description='The camera swings back and forth, and one object slides.',
            choices=flag,
        ),
        DeclareLaunchArgument('rviz', default_value='false', description='Start RViz.', choices=flag),
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
