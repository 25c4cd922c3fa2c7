"""config/sros2_policy.xml allows the interfaces of the node, and nothing else."""

from __future__ import annotations

from functools import partial

import pytest

from instructsam_ros.node.outputs import OUTPUTS
from tests.support.graph import Graph
from tests.support.policy import allowed


def test_policy_lists_the_interfaces_of_the_node(graph: Graph):
    node = graph.segmenter(**{'depth.enabled': True})
    names = node.get_name(), node.get_namespace()

    def has(verb: str) -> set[str]:
        found = {'publish': 'publisher_names', 'subscribe': 'subscriber_names', 'reply': 'service_names'}[verb]
        listed = getattr(node, f'get_{found}_and_types_by_node')(*names)
        return {name for name, _ in listed if not name.startswith('/segmenter/track/_action')}

    def is_complete(verb: str, expected: set[str]) -> bool:
        return has(verb) >= expected

    elsewhere = {  # with other parameters, or where other packages are installed
        'publish': {'/bond', *(f'/segmenter/{output.name}' for output in OUTPUTS if output.is_optional)},
        'subscribe': {
            '/bond', '/image/compressed', '/depth/image/compressed', '/depth/image/compressedDepth', '/clock',
            '/parameter_events', '/tf', '/tf_static',
        },
        'reply': set(),
    }  # fmt: skip
    for verb, more in elsewhere.items():
        expected = allowed('segmenter', 'service' if verb == 'reply' else 'topic', verb)
        graph.wait_for(partial(is_complete, verb, expected - more), f'all that it may {verb}')
        assert has(verb) | more == expected
    assert allowed('segmenter', 'action', 'execute') == {'/segmenter/track'}


@pytest.mark.parametrize(
    ('kind', 'verb', 'its'), [('topic', 'publish', 'subscribe'), ('topic', 'subscribe', 'publish')]
)
def test_policy_of_the_planner_matches_that_of_the_segmenter(kind: str, verb: str, its: str):
    offered = allowed('segmenter', kind, its)
    assert {name for name in allowed('planner', kind, verb) if name.startswith('/segmenter')} <= offered


def test_policy_does_not_let_a_camera_publish_instructions():
    assert not [name for name in allowed('camera', 'topic', 'publish') if name.startswith('/segmenter')]
