"""Which back end is loaded, with which options, and how it is switched while the node runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from instructsam_model import CheckpointError, ConfigError
from instructsam_model.instructsam.options import InstructSAMOptions
from instructsam_ros.node.backend_loader import checkpoint_name, load_checkpoint
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.srv import Segment
from tests.support import fake_backends
from tests.support.fake_backends import LOADED, CirclesOptions, SquaresOptions
from tests.support.graph import Graph, Manager


@pytest.fixture(autouse=True)
def _two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_backends.register(monkeypatch)


def test_load_checkpoint_passes_the_options_of_its_back_end_only(tmp_path: Path):
    parameters = NodeParameters(checkpoint=str(tmp_path), backend='circles', device='cpu', threads=2)
    load_checkpoint(parameters)
    [(name, settings, options, _)] = LOADED
    assert (name, settings.device, settings.threads, options) == ('circles', 'cpu', 2, CirclesOptions())


def test_load_checkpoint_says_if_no_back_end_reads_the_checkpoint(tmp_path: Path):
    (tmp_path / 'config.json').write_text('{"model_type": "other"}')
    with pytest.raises(CheckpointError, match=r'instructsam.*squares, circles'):
        load_checkpoint(NodeParameters(checkpoint=str(tmp_path)))


def test_results_name_the_checkpoint_and_its_adapter():
    options = {'squares': SquaresOptions(), 'instructsam': InstructSAMOptions(adapter='runs/adapter')}
    assert checkpoint_name(NodeParameters(backend_options=options)) == 'embedded + runs/adapter'
    assert checkpoint_name(NodeParameters(backend_options={'instructsam': InstructSAMOptions()})) == 'embedded'


def test_an_adapter_is_not_ignored_by_another_back_end(tmp_path: Path):
    options = {'circles': CirclesOptions(), 'instructsam': InstructSAMOptions(adapter='runs/adapter')}
    parameters = NodeParameters(checkpoint=str(tmp_path), backend='circles', backend_options=options)
    with pytest.raises(ConfigError, match=r'instructsam.adapter: expected a checkpoint that instructsam loads, got'):
        load_checkpoint(parameters)
    assert not LOADED


def test_the_back_end_is_switched_after_cleanup(graph: Graph, tmp_path: Path):
    """As `ros2 lifecycle set` and `ros2 param set` do."""
    graph.segmenter(load=load_checkpoint, autostart=False, checkpoint=str(tmp_path), backend='squares')
    manager = Manager(graph)
    parameters = graph.peer.create_client(SetParameters, 'segmenter/set_parameters')
    segment = graph.peer.create_client(Segment, 'segmenter/segment')

    def set_parameter(name: str, value: str | int) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        [result] = graph.call(parameters, request).results
        return result.successful, result.reason

    assert set_parameter('squares.side', 7) == (True, '')
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert manager.change(transition)
    assert graph.call(segment, Segment.Request(instruction='red', image=graph.image('red'))).success
    successful, reason = set_parameter('backend', 'circles')
    assert not successful
    assert 'run ros2 lifecycle set with deactivate and cleanup first' in reason

    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        assert manager.change(transition)
    assert set_parameter('backend', 'circles') == (True, '')
    assert set_parameter('circles.kind', 'half') == (True, '')
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert manager.change(transition)
    assert graph.call(segment, Segment.Request(instruction='red', image=graph.image('red'))).success

    assert [(name, options) for name, _, options, _ in LOADED] == [
        ('squares', SquaresOptions(side=7)), ('circles', CirclesOptions(kind='half')),
    ]  # fmt: skip
    segmenters = [segmenter for _, _, _, segmenter in LOADED]
    assert [segmenter.closed for segmenter in segmenters] == [1, 0]
    assert [segmenter.asked for segmenter in segmenters] == [['red'], ['red']]
    assert len(segmenters[0].threads) == 1, 'it is closed in the thread that used it'


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('backend', 'triangles', "squares, circles, got 'triangles'"),
        ('circles.kind', 'quarter', "circles.kind: expected one of full, half, got 'quarter'"),
        ('squares.side', 0, 'squares.side'),
        ('squares.edge', 3, 'parameter squares.edge: no such parameter; did you mean squares.side?'),
    ],
)
def test_overrides_of_backend_parameters_are_checked(graph: Graph, name: str, value: str | int, said: str):
    with pytest.raises(ConfigError, match=name.partition('.')[0]) as caught:
        graph.segmenter(**{name: value})
    assert said in str(caught.value)


def test_backend_parameters_set_at_run_time_are_checked(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(autostart=False)
    result = graph.set_parameter(node, 'circles.kind', 'quarter')
    assert (result.successful, result.reason) == (False, "circles.kind: expected one of full, half, got 'quarter'")
