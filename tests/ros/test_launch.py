"""The launch files and the RViz configuration, where launch_ros is installed."""

from __future__ import annotations

import os
import re
import runpy
import shlex
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
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from instructsam_ros.node.parameter_declaration import declarations
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.sim.sim_camera import CameraParameters
from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError
from tests.support import ROOT
from tests.support.command_lines import readme_commands
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
        ['image', 'depth', 'camera_info', 'cameras', 'image_transport', 'image_reliability', 'depth.enabled',
         'depth.image_transport',
         'depth.box_frame', 'depth.box_plane', 'instruction', 'checkpoint', 'backend', 'device', 'params_file',
         'namespace', 'node_name', 'tf_topic', 'tf_static_topic', 'use_sim_time', 'respawn', 'respawn_delay',
         'log_level', 'autostart']
    )  # fmt: skip
    assert all(len(argument.description) > 10 for argument in arguments.values())
    assert 'debug' in arguments['log_level'].choices


def test_arguments_of_parameters_have_the_descriptions_of_the_parameters():
    arguments = declared(LAUNCH_FILE) | declared(DEMO_FILE)
    described = {each.name: each.description for each in declarations(NodeParameters())}
    described |= {each.name: each.description for each in declarations(CameraParameters())}
    shared = set(arguments) & set(described) - {'cameras'}
    assert shared > {'checkpoint', 'backend', 'image_transport', 'depth.enabled', 'seed', 'moving'}
    for name in shared:
        assert described[name].split('Empty:')[0] in arguments[name].description, name


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
@pytest.mark.parametrize('has_file', [False, True])
def test_perception_launch_starts_the_node_without_overrides(graph: Graph, tmp_path: Path, *, has_file: bool):
    params_file = tmp_path / 'params.yaml'
    params_file.write_text(yaml.safe_dump({'segmenter': {'ros__parameters': {'checkpoint': 'embedded'}}}))
    arguments = [f'params_file:={params_file}'] if has_file else []
    process = NodeProcess('-c', LAUNCH, str(LAUNCH_FILE), *arguments)
    try:
        state = graph.peer.create_client(GetState, '/segmenter/get_state')
        graph.wait_for(state.service_is_ready, 'the node to appear', timeout_s=60)
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
        'depth.box_frame': 'table' if find_spec('tf2_ros') else 'none',
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


@pytest.mark.skipif(not installed(), reason='instructsam_ros is not in AMENT_PREFIX_PATH: source the workspace')
@pytest.mark.parametrize(
    ('file', 'argument', 'said'),
    [
        (LAUNCH_FILE, 'checkpont:=x', 'checkpont: no argument of perception.launch.py; did you mean checkpoint?'),
        (LAUNCH_FILE, 'params_file:=/missing.yaml', '/missing.yaml: expected a YAML file of parameters, but: No such'),
        (LAUNCH_FILE, 'checkpoint:=none', "or 'embedded', the small network of this package; got an empty text"),
        (LAUNCH_FILE, 'depth.enabled:=maybe', "depth.enabled: expected true or false, got 'maybe'"),
        (LAUNCH_FILE, 'cameras:={left: {imge: /a}}', "expected image, depth, camera_info for left, got 'imge'"),
        (DEMO_FILE, 'rviz:=true', 'the package rviz2 is not installed; install it (apt install ros-$ROS_DISTRO-rviz2)'),
        (DEMO_FILE, 'seeds:=1', 'seeds: no argument of demo.launch.py; did you mean seed?'),
        (DEMO_FILE, 'device:=gpu', "device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    ],
)
def test_wrong_arguments_end_the_launch_before_a_process_starts(graph: Graph, file: Path, argument: str, said: str):
    if argument.startswith('rviz') and 'rviz2' in packages.get_packages_with_prefixes():
        pytest.skip('rviz2 is installed')
    process = NodeProcess('-c', LAUNCH, str(file), argument)
    with pytest.raises(ProcessEndedError, match='ended with status 1'):
        graph.wait_for(process.check, 'the launch to end', timeout_s=60, period_s=0.2)
    assert said in process.tail()
    assert 'process started' not in process.tail()


@pytest.mark.skipif(not installed(), reason='instructsam_ros is not in AMENT_PREFIX_PATH: source the workspace')
def test_cameras_tf_name_and_respawn(graph: Graph):
    arguments = {
        'checkpoint': ROOT / 'tests' / 'golden' / 'checkpoint',
        'device': 'cpu',
        'cameras': '{left: {image: /cam1/raw, depth: /cam1/depth, camera_info: /cam1/info}, right: /cam2/raw}',
        'image_transport': 'compressed',
        'image_reliability': 'reliable',
        'depth.enabled': 'Yes',
        'depth.box_frame': 'none',
        'namespace': 'robot',
        'node_name': 'eye',
        'respawn': 'true',
        'respawn_delay': '0.5',
    }
    process = NodeProcess('-c', LAUNCH, str(LAUNCH_FILE), *(f'{name}:={value}' for name, value in arguments.items()))

    def subscribed(topic: str) -> Any:
        return next(iter(graph.peer.get_subscriptions_info_by_topic(topic)), None)

    def ids(topic: str) -> set[tuple[int, ...]]:
        return {tuple(info.endpoint_gid) for info in graph.peer.get_subscriptions_info_by_topic(topic)}

    topics = (
        '/cam1/raw/compressed', '/cam2/raw/compressed', '/cam1/depth', '/cam1/info',
        '/robot/right/depth/image', '/robot/right/camera_info',
    )  # fmt: skip
    try:
        graph.wait_for(lambda: all(map(subscribed, topics)), 'all subscriptions', timeout_s=120, period_s=0.2)
        info = subscribed('/cam2/raw/compressed')
        assert (info.node_namespace, info.node_name) == ('/robot', 'eye')
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert subscribed('/cam1/depth').qos_profile.reliability == ReliabilityPolicy.RELIABLE
        killed = ids('/cam1/depth')
        pid = int(re.findall(r'process started with pid \[(\d+)\]', process.tail(200))[-1])
        os.kill(pid, signal.SIGKILL)
        graph.wait_for(
            lambda: process.tail(200).count('process started with pid') == 2, 'the node to start again', timeout_s=30
        )
        # The subscriptions of the killed node stay in discovery for a while.
        graph.wait_for(lambda: ids('/cam1/depth') - killed, 'a new subscription', timeout_s=120, period_s=0.2)
    finally:
        status = process.stop(signal.SIGINT)
    assert status == 0, process.tail()


@pytest.mark.skipif(not installed(), reason='instructsam_ros is not in AMENT_PREFIX_PATH: source the workspace')
def test_the_demo_of_the_readme_finds_something_and_ends_with_its_camera(graph: Graph):
    pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')
    results = graph.subscribe()
    [command] = [line for line in readme_commands() if 'demo.launch.py' in line]
    arguments = [word for word in shlex.split(command)[4:] if not word.startswith('rviz:=')]
    # The default, table, needs tf2_ros, which is not on PyPI.
    arguments += [] if find_spec('tf2_ros') else ['depth.box_frame:=none']
    process = NodeProcess('-c', LAUNCH, str(DEMO_FILE), *arguments)
    try:
        graph.wait_for(lambda: any(each.instances for each in results), 'a result with an instance', timeout_s=120)
        pids = re.findall(r'\[(\w+)-\d\]: process started with pid \[(\d+)\]', process.tail(200))
        os.kill(int(dict(pids)['sim_camera']), signal.SIGKILL)
        with pytest.raises(ProcessEndedError):
            graph.wait_for(process.check, 'the launch to end', timeout_s=60, period_s=0.2)
        assert 'sim_camera-2 has ended' in process.tail()
        assert not any(Path(f'/proc/{pid}').exists() for _, pid in pids)
    finally:
        process.stop(signal.SIGINT)


PARENT = """
from launch import LaunchDescription
from launch.actions import ExecuteProcess, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

def generate_launch_description():
    arguments = {{'depth.enabled': 'maybe', 'checkpont': 'x'}}
    source = PythonLaunchDescriptionSource({file!r})
    return LaunchDescription([
        ExecuteProcess(cmd=['sleep', '600']),
        IncludeLaunchDescription(source, launch_arguments=arguments.items()),
    ])
"""


def test_an_error_in_an_included_file_leaves_no_process_behind(graph: Graph, tmp_path: Path):
    """An exception in a launch file leaves the processes running that have been started before."""
    parent = tmp_path / 'robot.launch.py'
    parent.write_text(PARENT.format(file=str(LAUNCH_FILE)))
    process = NodeProcess('-c', LAUNCH, str(parent))
    with pytest.raises(ProcessEndedError):
        graph.wait_for(process.check, 'the launch to end', timeout_s=60, period_s=0.2)
    assert "depth.enabled: expected true or false, got 'maybe'" in process.tail()
    assert 'checkpont: no argument of perception.launch.py; did you mean checkpoint?' in process.tail()
    [pid] = re.findall(r'process started with pid \[(\d+)\]', process.tail())
    assert not Path(f'/proc/{pid}').exists()
