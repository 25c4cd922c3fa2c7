r"""Starts the segmenter node; by default it configures and activates itself.

ros2 launch instructsam_ros perception.launch.py checkpoint:=CircleRadon/InstructSAM-2B image:=/camera/image_raw

With depth images that are registered to the camera images:

ros2 launch instructsam_ros perception.launch.py ... depth.enabled:=true depth:=/camera/aligned_depth/image_raw \
    camera_info:=/camera/camera_info depth.box_frame:=base_link
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from instructsam_ros.node.fastdds import transport_environment

PARAMS_FILE = PathJoinSubstitution([FindPackageShare('instructsam_ros'), 'config', 'perception.yaml'])

# An empty argument leaves the parameter as in params_file.
PARAMETERS = {
    'checkpoint': str,
    'backend': str,
    'device': str,
    'instruction': str,
    'depth.enabled': bool,
    'depth.box_frame': str,
    'depth.box_plane': bool,
    'use_sim_time': bool,
    'autostart': bool,
}


def generate_launch_description() -> LaunchDescription:
    """The launch arguments and the node."""
    flag = ('true', 'false', '')
    levels = ('debug', 'info', 'warn', 'error', 'fatal')
    return LaunchDescription([
        _argument('image', 'image', 'Topic of the camera images; <image>/compressed if image_transport is compressed.'),
        _argument('depth', 'depth/image', 'Topic of the depth images, registered to the camera images.'),
        _argument('camera_info', 'camera_info', 'Topic of the camera calibration.'),
        _argument('depth.enabled', '', 'Subscribe to depth and camera_info, and estimate 3D boxes and points.', flag),
        _argument('depth.box_frame', '', 'Frame whose z axis 3D boxes are aligned with, such as base_link.'),
        _argument('depth.box_plane', '', 'Align 3D boxes with the largest plane in the depth image instead.', flag),
        _argument('instruction', '', 'Initial continuous instruction; a message on ~/instruction replaces it.'),
        _argument('checkpoint', '', 'Folder or hub id of the checkpoint, such as CircleRadon/InstructSAM-2B.'),
        _argument('backend', '', 'Back end that loads the checkpoint, such as sam3. auto: the one that reads it.'),
        _argument('device', '', 'Device of the model: cpu, cuda, cuda:1, ... auto: a GPU if there is one.'),
        _argument('params_file', PARAMS_FILE, 'YAML file with the parameters of the node.'),
        _argument('namespace', '', 'Namespace of the node.'),
        _argument('use_sim_time', '', 'Use the time from /clock, for a bag or a simulation.', flag),
        _argument('log_level', 'info', 'Minimum severity of log messages.', levels),
        _argument('autostart', '', 'Configure and activate the node when it starts.', flag),
        OpaqueFunction(function=_start),
    ])  # fmt: skip


def _argument(
    name: str, default: str | PathJoinSubstitution, description: str, choices: tuple[str, ...] | None = None
) -> DeclareLaunchArgument:
    if name in PARAMETERS:
        description += ' Empty: the value in params_file.'
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def _start(context: LaunchContext) -> list[SetEnvironmentVariable | LifecycleNode]:
    # Pass on only what was set, since a parameter given here overrides params_file.
    given = {name: kind for name, kind in PARAMETERS.items() if LaunchConfiguration(name).perform(context)}
    overrides = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in given.items()}
    image = LaunchConfiguration('image')
    node = LifecycleNode(
        package='instructsam_ros',
        executable='segmenter',
        name='segmenter',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), overrides],
        remappings=[
            ('image', image),
            ('image/compressed', [image, '/compressed']),
            ('depth/image', LaunchConfiguration('depth')),
            ('camera_info', LaunchConfiguration('camera_info')),
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    transport = transport_environment(context.environment)
    return [*(SetEnvironmentVariable(name, value) for name, value in transport.items()), node]
