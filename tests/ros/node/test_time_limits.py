"""Time limits of the node against that of a back end that takes long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from instructsam_model import ConfigError
from instructsam_model.sam3_agent.options import Sam3AgentOptions
from instructsam_ros.inference.supervisor import FailureLimits
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.node.time_limits import check_time_limits
from tests.support.documented_faults import check_documented, logged
from tests.support.graph import Graph

AGENT = 'sam3_agent'


def check(max_seconds: float, stuck_timeout_s: float, request_timeout: float, backend: str = AGENT) -> str:
    parameters = NodeParameters(
        backend_options={AGENT: Sam3AgentOptions(max_seconds=max_seconds)},
        limits=FailureLimits(stuck_timeout_s=stuck_timeout_s),
        request_timeout=request_timeout,
    )
    return check_time_limits(parameters, backend)


@pytest.mark.parametrize(('max_seconds', 'stuck_timeout_s'), [(100.0, 120.0), (200.0, 0.0)])
def test_a_request_may_take_as_long_as_the_back_end_allows_itself(max_seconds: float, stuck_timeout_s: float):
    assert check(max_seconds, stuck_timeout_s, request_timeout=max_seconds) == ''


@pytest.mark.parametrize(('max_seconds', 'found'), [(120.0, '120 s'), (0.0, '0, which is no limit')])
def test_a_slow_request_must_not_count_as_stuck(max_seconds: float, found: str):
    with pytest.raises(ConfigError, match=rf'max_seconds: expected less than stuck_timeout, 120 s, .*; got {found}'):
        check(max_seconds, 120.0, 3600.0)


def test_other_back_ends_have_no_such_limit():
    assert check(0.0, 120.0, 5.0, 'instructsam') == ''
    assert check(0.0, 120.0, 5.0, 'auto') == ''


def test_the_node_says_that_requests_end_early(graph: Graph, log: Callable[[], str]):
    graph.segmenter(warmup=False, backend=AGENT)
    check_documented(logged(graph, log, 'request_timeout: requests'))


def test_the_node_is_not_configured_with_limits_that_contradict_each_other(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(warmup=False, backend=AGENT, autostart=False, stuck_timeout=60.0)
    graph.run_in_executor(node.trigger_configure)
    assert node.state == 'unconfigured'
    check_documented(logged(graph, log, 'not configured: sam3_agent.max_seconds'))
