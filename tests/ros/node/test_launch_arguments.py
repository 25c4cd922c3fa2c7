"""Arguments of the launch files are checked and become parameters and remappings."""

from __future__ import annotations

from typing import Any

import pytest

from instructsam_model import ConfigError
from instructsam_ros.node.launch_arguments import (
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
from instructsam_ros.node.parameter_declaration import declarations
from instructsam_ros.node.parameters import NodeParameters

DECLARED = ('checkpoint', 'cameras', 'image', 'depth.enabled')


@pytest.mark.parametrize('text', ['true', 'True', 'TRUE', 'yes', 'Yes', 'on', '1', ' true '])
def test_true_can_be_written_in_many_ways(text: str):
    assert parse_flag('rviz', text) is True


@pytest.mark.parametrize('text', ['false', 'False', 'FALSE', 'no', 'off', '0'])
def test_false_can_be_written_in_many_ways(text: str):
    assert parse_flag('rviz', text) is False


@pytest.mark.parametrize('text', ['', 'maybe', '2', 'none'])
def test_another_flag_is_an_error(text: str):
    with pytest.raises(ConfigError, match=f"rviz: expected true or false, got '{text}'"):
        parse_flag('rviz', text)


@pytest.mark.parametrize('text', ['', 'soon', '-1', 'nan', 'inf'])
def test_another_number_is_an_error(text: str):
    assert parse_number('respawn_delay', '2.5') == 2.5
    with pytest.raises(ConfigError, match=f"respawn_delay: expected a number of at least 0, got '{text}'"):
        parse_number('respawn_delay', text)


@pytest.mark.parametrize(
    ('name', 'text', 'expected'),
    [
        ('depth.enabled', 'True', True),
        ('depth.box_plane', '0', False),
        ('depth.box_frame', 'none', ''),
        ('depth.box_frame', "''", ''),
        ('depth.box_frame', '', ''),
        ('depth.box_frame', 'base_link', 'base_link'),
        ('max_rate', '5', 5.0),
        ('max_instances', '5', 5),
        ('instruction', 'yes', 'yes'),
        ('backend', 'of_another_package', 'of_another_package'),
    ],
)
def test_values_have_the_type_of_the_parameter(name: str, text: str, expected: Any):
    values = parse_parameters(NodeParameters(), {name: text, 'device': NOT_GIVEN})
    assert (type(values[name]), values) == (type(expected), {name: expected})


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({'checkpoint': 'none'}, "checkpoint: expected a folder, .* or 'embedded', .*; got an empty text"),
        ({'image_transport': 'theora'}, "image_transport: expected one of raw, compressed, got 'theora'"),
        ({'device': 'gpu'}, "device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({'depth.enabled': 'maybe'}, "depth.enabled: expected true or false, got 'maybe'"),
        ({'max_instances': '5.5'}, "max_instances: expected an integer of at least 0, got '5.5'"),
        ({'depth.box_frame': 'base_link', 'depth.box_plane': 'true'}, 'box_plane: expected false with depth.box_frame'),
    ],
)
def test_values_that_the_node_would_reject_are_errors(given: dict[str, str], said: str):
    with pytest.raises(ConfigError, match=said):
        parse_parameters(NodeParameters(), given)


def test_descriptions_are_those_of_the_parameters():
    [transport] = [each for each in declarations(NodeParameters()) if each.name == 'image_transport']
    assert describe(NodeParameters(), 'image_transport').startswith(transport.description)
    assert describe(NodeParameters(), 'image_transport').endswith('One of: raw, compressed.')
    assert 'Empty (typed none): idle.' in describe(NodeParameters(), 'instruction')


def test_unknown_arguments_are_errors_that_name_the_nearest():
    check_arguments(['checkpoint', 'launch-prefix', 'sigterm_timeout'], DECLARED, 'a.launch.py')
    with pytest.raises(ConfigError, match=r'checkpont: no argument of a.launch.py; did you mean checkpoint\?'):
        check_arguments(['image', 'checkpont'], DECLARED, 'a.launch.py')
    with pytest.raises(ConfigError, match=r'palette: no argument of a.launch.py; ros2 launch with --show-args lists'):
        check_arguments(['palette'], DECLARED, 'a.launch.py')
    assert unknown_arguments(['depth.enable', 'fps', 'image'], DECLARED) == {
        'depth.enable': ['depth.enabled'],
        'fps': [],
    }


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['ros2', 'launch', 'instructsam_ros', 'perception.launch.py', 'image:=/a'], True),
        (['ros2', 'launch', '/opt/launch/perception.launch.py'], True),
        (['ros2', 'launch', 'robot', 'robot.launch.py'], False),
        (['ros2', 'launch', 'robot', 'my_perception.launch.py'], False),
    ],
)
def test_a_file_of_the_command_line_is_told_from_an_included_one(words: list[str], expected: bool):
    assert is_top_level('perception.launch.py', words) == expected


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('', {}),
        ('none', {}),
        ('[]', {}),
        ("['']", {}),
        ('left', {'left': {}}),
        ('left,right', {'left': {}, 'right': {}}),
        ('left, arm/wrist', {'left': {}, 'arm/wrist': {}}),
        ('[left, right]', {'left': {}, 'right': {}}),
        ('{left: /a/image, right: /b}', {'left': {'image': '/a/image'}, 'right': {'image': '/b'}}),
        ('left: /a', {'left': {'image': '/a'}}),
        (
            '{left: {image: /a, depth: /d, camera_info: /i}, right: {}}',
            {'left': {'image': '/a', 'depth': '/d', 'camera_info': '/i'}, 'right': {}},
        ),
    ],
)  # fmt: skip
def test_cameras_are_names_or_names_with_topics(text: str, expected: dict[str, dict[str, str]]):
    assert parse_cameras(text) == expected


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{left:/a}', 'cameras: expected topics for left:/a, got None'),
        ('left:=/a', "cameras: expected names of topics such as 'left' or 'arm/wrist', got 'left:=/a'"),
        ('left eye', "got 'left eye'"),
        ('left,left/image__x', "got 'left/image__x'"),
        ('{left: {imge: /a}}', "cameras: expected image, depth, camera_info for left, got 'imge'"),
        ('{left: 5}', 'cameras: expected topics for left, got 5'),
        ('{left: {image: }}', 'cameras: expected topics for left'),
        ('5', "cameras: expected names or a mapping, got '5'"),
        ('{left', 'cameras: not valid YAML'),
    ],
)
def test_other_cameras_are_errors(text: str, said: str):
    with pytest.raises(ConfigError) as caught:
        parse_cameras(text)
    assert str(caught.value).startswith(said) or said in str(caught.value)


def test_topics_are_remapped():
    assert dict(remap_topics({'': {'image': '/cam/image_raw', 'depth': '/cam/depth', 'camera_info': '/cam/info'}})) == {
        'image': '/cam/image_raw',
        'depth/image': '/cam/depth',
        'camera_info': '/cam/info',
    }
    two = dict(remap_topics(parse_cameras('{left: {image: /a, depth: /d}, right: /b}')))
    assert two == {'left/image': '/a', 'left/depth/image': '/d', 'right/image': '/b'}


def test_reliability_is_overridden_by_the_full_name_of_the_topic():
    overrides = reliability_overrides({'': {'image': 'color/image'}}, 'reliable', 'segmenter', '/robot')
    assert overrides['qos_overrides./robot/color/image.subscription.reliability'] == 'reliable'
    assert 'qos_overrides./robot/color/image/compressed.subscription.reliability' in overrides
    assert 'qos_overrides./robot/depth/image.subscription.reliability' in overrides
    overrides = reliability_overrides(parse_cameras('{left: /a, right: "~/b"}'), 'reliable', 'eye', '/')
    assert {'qos_overrides./a.subscription.reliability', 'qos_overrides./eye/b.subscription.reliability'} < set(
        overrides
    )
    assert 'qos_overrides./left/depth/image.subscription.reliability' in overrides
