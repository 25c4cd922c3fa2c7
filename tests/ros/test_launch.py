"""The launch files and the RViz configuration, where launch_ros is installed."""

from __future__ import annotations

import runpy
import signal
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image

from instructsam_ros.sim.sim_camera import CameraParameters
from instructsam_ros.tools.node_process import NodeProcess
from tests.support import ROOT
from tests.support.graph import Graph

pytest.importorskip('launch_ros', reason='launch_ros is not installed; it comes with ROS, not from PyPI')
DeclareLaunchArgument = pytest.importorskip('launch.actions').DeclareLaunchArgument
packages = pytest.importorskip('ament_index_python.packages', reason='ament_index_python is not installed')

LAUNCH_FILE = ROOT / 'launch' / 'perception.launch.py'
DEMO_FILE = ROOT / 'launch' / 'demo.launch.py'
RVIZ_FILE = ROOT / 'rviz' / 'demo.rviz'
LAUNCH = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [argument.split(':=', 1) for argument in sys.argv[2:sys.argv.index('--ros-args')]]
service = LaunchService(noninteractive=True)
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(IncludeLaunchDescription(source, launch_arguments=arguments))
sys.exit(service.run())
"""


def installed() -> bool:
    try:
        return Path(packages.get_package_prefix('instructsam_ros'), 'lib/instructsam_ros/segmenter').is_file()
    except (OSError, packages.PackageNotFoundError):  # OSError: AMENT_PREFIX_PATH is not set
        return False


def declared(file: Path) -> dict[str, Any]:
    """The arguments that a launch file declares itself."""
    actions = runpy.run_path(str(file))['generate_launch_description']().entities
    return {action.name: action for action in actions if isinstance(action, DeclareLaunchArgument)}


def test_every_argument_has_a_description():
    arguments = declared(LAUNCH_FILE)
    assert sorted(arguments) == sorted(
        ['image', 'depth', 'camera_info', 'depth.enabled', 'depth.box_frame', 'depth.box_plane', 'instruction',
         'checkpoint', 'backend', 'device', 'params_file', 'namespace', 'use_sim_time', 'log_level', 'autostart']
    )  # fmt: skip
    assert all(len(argument.description) > 10 for argument in arguments.values())
    assert {'true', 'false'} < set(arguments['use_sim_time'].choices)
    assert 'debug' in arguments['log_level'].choices


def test_demo_forwards_arguments_of_perception_launch():
    arguments = declared(DEMO_FILE)
    forwarded = set(arguments) & set(declared(LAUNCH_FILE))
    assert forwarded == {'instruction', 'checkpoint', 'backend', 'device', 'depth.enabled', 'depth.box_frame'}
    own = set(arguments) - forwarded
    assert own == {'seed', 'rate_hz', 'moving', 'rviz'}
    assert own - {'rviz'} <= {field.name for field in fields(CameraParameters)}
    assert all(len(argument.description) > 10 for argument in arguments.values())


def test_rviz_displays_existing_topics():
    displays = yaml.safe_load(RVIZ_FILE.read_text())['Visualization Manager']['Displays']
    topics = {display['Topic']['Value'] for display in displays if 'Topic' in display}
    topics |= {display[key] for display in displays for key in display if key.endswith('Image Topic')}
    assert topics == {
        *(
            f'/segmenter/{name}'
            for name in ('overlay', 'target/mask', 'points', 'instances/points', 'target/points', 'markers')
        ),
        '/image',
        '/sim_camera/ground_truth/boxes',
    }


@pytest.mark.skipif(not installed(), reason='instructsam_ros is not in AMENT_PREFIX_PATH: source the workspace')
def test_perception_launch_starts_the_node_with_its_arguments(graph: Graph, tmp_path: Path):
    params_file = tmp_path / 'params.yaml'
    parameters = {'score_threshold': 0.25, 'instruction': 'from the file', 'device': 'cpu', 'warmup': False}
    params_file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}))
    arguments = {
        'checkpoint': ROOT / 'tests' / 'golden' / 'checkpoint',
        'backend': 'instructsam',
        'image': '/camera/image_raw',
        'depth': '/camera/depth_registered',
        'depth.enabled': 'true',
        'namespace': 'robot',
        'instruction': 'from the command line',
        'params_file': params_file,
        'use_sim_time': 'true',
    }
    process = NodeProcess('-c', LAUNCH, str(LAUNCH_FILE), *(f'{name}:={value}' for name, value in arguments.items()))
    try:
        state = graph.peer.create_client(GetState, '/robot/segmenter/get_state')
        graph.wait_for(state.service_is_ready, 'the node to appear', timeout_s=60)
        graph.wait_for(
            lambda: graph.call(state, GetState.Request(), timeout_s=120, retry_s=5).current_state.label == 'active',
            'the node to be active',
            timeout_s=120,
            period_s=0.5,
        )
        [info] = graph.peer.get_subscriptions_info_by_topic('/camera/image_raw')
        assert (info.node_name, info.node_namespace) == ('segmenter', '/robot')
        [info] = graph.peer.get_subscriptions_info_by_topic('/camera/depth_registered')
        assert info.node_name == 'segmenter'
        client = graph.peer.create_client(GetParameters, '/robot/segmenter/get_parameters')
        names = ['score_threshold', 'instruction', 'backend', 'device', 'use_sim_time']
        expected = [0.25, 'from the command line', 'instructsam', 'cpu', True]
        values = graph.call(client, GetParameters.Request(names=names), retry_s=1).values
        assert [parameter_value_to_python(value) for value in values] == expected
    finally:
        status = process.stop(signal.SIGINT)
    assert status == 0, process.tail()


@pytest.mark.skipif(not installed(), reason='instructsam_ros is not in AMENT_PREFIX_PATH: source the workspace')
def test_demo_launch_starts_a_camera_and_a_node_that_segments(graph: Graph):
    pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')
    arguments = {
        'checkpoint': ROOT / 'tests' / 'golden' / 'checkpoint',
        'device': 'cpu',
        'seed': 3,
        'instruction': 'the blue box',
        # The default, table, needs tf2_ros, which is not on PyPI.
        'depth.box_frame': 'table' if find_spec('tf2_ros') else '',
    }
    results, depths = graph.subscribe(), graph.subscribe('depth/image', Image)
    process = NodeProcess('-c', LAUNCH, str(DEMO_FILE), *(f'{name}:={value}' for name, value in arguments.items()))
    try:
        graph.wait_for(lambda: results, 'a result for the simulated table', timeout_s=120)
        assert (results[0].instruction, results[0].width, results[0].height) == ('the blue box', 320, 240)
        assert results[0].header in [depth.header for depth in depths]
    finally:
        status = process.stop(signal.SIGINT)
    assert status == 0, process.tail()
