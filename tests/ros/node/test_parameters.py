"""The parameters, their limits, and the file that lists them.

Covers node/parameter_declaration.py.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter

from instructsam_model import ConfigError
from instructsam_model.backends import BUILT_IN
from instructsam_ros.node.parameter_declaration import declarations
from instructsam_ros.node.parameters import NodeParameters, backend_options, make_yaml, parse_instruction
from tests.support import ROOT
from tests.support.graph import Graph

CONFIG = ROOT / 'config' / 'perception.yaml'
DEFAULTS = NodeParameters(backend_options=backend_options(BUILT_IN))
DECLARED = {each.name: each for each in declarations(DEFAULTS)}


def flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Dotted names, as the node has them, and tuples for arrays."""
    values = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            values.update({f'{name}.{inner}': each for inner, each in flat(value).items()})
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return values


def test_parameter_file_is_up_to_date():
    command = 'python -m instructsam_ros.node.parameters > config/perception.yaml'
    assert CONFIG.read_text() == make_yaml(DEFAULTS), f'out of date; run {command}'


def test_parameter_file_lists_every_parameter_with_its_default():
    listed = flat(yaml.safe_load(CONFIG.read_text())['/**']['ros__parameters'])
    defaults = {name: each.default for name, each in DECLARED.items()}
    assert list(listed) == list(defaults)
    assert listed == defaults
    assert {name: type(value) for name, value in listed.items()} == {
        name: type(value) for name, value in defaults.items()
    }


def test_parameter_file_has_the_descriptions_of_the_node():
    text = ' '.join(line.strip().removeprefix('# ') for line in CONFIG.read_text().splitlines())
    for each in DECLARED.values():
        assert each.description in text, each.name
        for word in (*each.choices, *(f'{limit:g}' for limit in each.range_ or () if limit < 1e6)):
            assert word in text, f'{each.name}: {word}'


def test_the_node_describes_every_parameter(graph: Graph):
    graph.segmenter(autostart=False)
    client = graph.peer.create_client(DescribeParameters, 'segmenter/describe_parameters')
    descriptors = graph.call(client, DescribeParameters.Request(names=list(DECLARED))).descriptors
    for each, descriptor in zip(DECLARED.values(), descriptors, strict=True):
        assert descriptor.description == each.description
        limits = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert [(limit.from_value, limit.to_value) for limit in limits] == [
            limit for limit in (each.range_,) if limit is not None
        ]


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('score_threshold', 1.5, 'Min: 0.0, Max: 1.0, value: 1.5'),
        ('mask_threshold', -0.1, 'Min: 0.0, Max: 1.0, value: -0.1'),
        ('mask_threshold', math.nan, 'out of range'),
        ('max_instances', 0, 'Min: 1, Max: 65535, value: 0'),
        ('max_rate', -1.0, 'out of range'),
        ('request_timeout', 0.0, 'out of range'),
        ('score_threshold', 'high', 'Wrong parameter type'),
        ('image_transport', 'theora', "image_transport: expected one of raw, compressed, got 'theora'"),
        ('dtype', 'int8', "dtype: expected one of auto, float32, bfloat16, float16, got 'int8'"),
        ('instructsam.sam3_size', 5000, 'Min: 0, Max: 4032, value: 5000'),
        ('instructsam.quantization', 'int4', "instructsam.quantization: expected one of none, int8, fp8, got 'int4'"),
        ('threads', 1025, 'Min: 0, Max: 1024, value: 1025'),
        ('warmup_sizes', ['720p'], "warmup_sizes: expected width x height such as '1280x720', got '720p'"),
        ('instruction', 'x' * 5000, 'expected at most 4096 characters, got 5000'),
        ('instructions', ['x' * 5000], 'expected at most 4096 characters, got 5000'),
        ('max_failures', -1, 'Min: 0, Max: 100000, value: -1'),
        ('tracking.min_iou', 1.5, 'Parameter tracking.min_iou out of range'),
        ('checkpoint', '', 'got an empty text'),
        ('autostart', False, 'read-only parameter: autostart'),
        ('cameras', ['left'], 'read-only parameter: cameras'),
        ('no_such_parameter', 1, 'undeclared'),
        ('depth.max', 0.05, 'depth.min: expected less than depth.max, 0.05, got 0.1'),
        ('depth.max_offset', 2.0, 'out of range'),
        ('depth.enabled', 'yes', 'Wrong parameter type'),
        ('depth.box_plane', 1, 'Wrong parameter type'),
    ],
)
def test_invalid_value_is_rejected_with_a_reason(graph: Graph, name: str, value: Any, said: str):
    node = graph.segmenter(autostart=False)
    client = graph.peer.create_client(SetParameters, 'segmenter/set_parameters')
    before = node.get_parameter(name).value if node.has_parameter(name) else None
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = graph.call(client, request).results[0]
    assert not result.successful
    assert said in result.reason
    assert not node.has_parameter(name) or node.get_parameter(name).value == before


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('score_threshold', 2.0, 'parameter score_threshold: 2.0 is out of range; expected 0 to 1'),
        ('score_threshold', 'high', "parameter score_threshold: expected a number, got 'high'"),
        ('max_rate', math.nan, 'parameter max_rate: nan is out of range; expected 0 to 1000'),
        ('max_rate', math.inf, 'parameter max_rate: inf is out of range; expected 0 to 1000'),
        ('max_instances', 5.0, 'parameter max_instances: expected an integer, got 5.0'),
        ('depth.enabled', 'true', "parameter depth.enabled: expected true or false, got 'true'; remove the quotes"),
        ('depth.enabled', 1, 'parameter depth.enabled: expected true or false, got 1'),
        ('instruction', 5, 'parameter instruction: expected text, got 5; put it in quotes'),
        ('cameras', 'left', "parameter cameras: expected a list of texts such as [left, right], got 'left'"),
        (
            'checkpoint',
            '',
            "checkpoint: expected a folder, a file or a hub id such as 'CircleRadon/InstructSAM-2B', or",
        ),
        ('checkpoint', ' ', 'got an empty text'),
        ('checkpont', 'x', 'parameter checkpont: no such parameter; did you mean checkpoint?'),
        ('use_sim_tme', True, 'did you mean use_sim_time?'),
        ('qos_override./image.subscription.depth', 3, 'did you mean qos_overrides./image.subscription.depth?'),
        ('instructsam.inference_mode', 'secret', 'instructsam.inference_mode: expected one of trained, released'),
        ('protocol', 'trained', 'parameter protocol: no such parameter; did you mean instructsam.inference_mode?'),
        ('reuse_answers', True, 'no such parameter; did you mean instructsam.speculative_decoding?'),
        ('engine', 'eager', 'parameter engine: no such parameter; did you mean instructsam.engine?'),
        ('score_treshold', 0.5, 'did you mean score_threshold'),
        ('palette', 'red', 'config/perception.yaml lists all of them'),
        ('cameras', ['left eye'], "cameras: expected names of topics such as 'left' or 'arm/wrist', got 'left eye'"),
        ('cameras', ['left', 'left'], 'cameras: expected each name once, got left, left'),
    ],
)
def test_invalid_override_raises_when_the_node_is_created(graph: Graph, name: str, value: Any, said: str):
    with pytest.raises(ConfigError, match=name) as caught:
        graph.segmenter(**{name: value})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('max_rate', 5, 5.0),  # as YAML reads 5
        ('cameras', [], ['']),  # as a program gives []; a file and -p: test_parameter_sources.py
        ('instructions', [], ['']),
        ('warmup_sizes', [], ['']),
        ('warmup_sizes', ['', ''], ['', '']),
    ],
)
def test_values_that_yaml_reads_as_another_type_are_accepted(graph: Graph, name: str, value: Any, expected: Any):
    node = graph.segmenter(autostart=False, **{name: value})
    found = node.get_parameter(name).value
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ('name', 'parameter', 'expected'),
    [
        ('max_rate', Parameter('max_rate', value=5), 5.0),
        ('instructions', Parameter('instructions', Parameter.Type.BOOL_ARRAY, []), ['']),  # ros2 param set ... []
        ('instructions', Parameter('instructions', value=['red', 'blue']), ['red', 'blue']),
    ],
)
def test_values_that_ros2_param_reads_as_another_type_can_be_set(
    graph: Graph, name: str, parameter: Parameter[Any], expected: Any
):
    node = graph.segmenter(autostart=False)
    client = graph.peer.create_client(SetParameters, 'segmenter/set_parameters')
    result = graph.call(client, SetParameters.Request(parameters=[parameter.to_parameter_msg()])).results[0]
    assert result.successful, result.reason
    found = node.get_parameter(name).value
    assert (type(found), found) == (type(expected), expected)


def test_box_frame_and_box_plane_exclude_each_other(graph: Graph):
    with pytest.raises(ConfigError, match=r"depth\.box_plane: expected false with depth\.box_frame 'base_link'"):
        graph.segmenter(**{'depth.box_frame': 'base_link', 'depth.box_plane': True})


CHANGEABLE = {name: each.mutable == 'always' for name, each in DECLARED.items() if each.mutable != 'never'}


@pytest.mark.parametrize(('name', 'live'), CHANGEABLE.items())
def test_only_dynamic_parameters_can_be_set_while_configured(graph: Graph, name: str, live: bool):
    node = graph.segmenter()
    value = node.get_parameter(name).value
    result = graph.set_parameter(node, name, value)
    assert result.successful == live
    assert live or f'{name}: can be changed only while the node is unconfigured' in result.reason


def test_qos_overrides_are_known_parameters(graph: Graph):
    graph.segmenter(**{'qos_overrides./image.subscription.depth': 3})


def test_parameters_of_rclpy_can_be_set(graph: Graph):
    node = graph.segmenter()
    assert graph.set_parameter(node, 'use_sim_time', True).successful


@pytest.mark.parametrize('text', ['', '  ', '\n'])
def test_empty_instruction_means_idle(text: str):
    assert parse_instruction(text) is None
