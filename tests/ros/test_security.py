"""config/sros2_policy.xml allows what the node does, and nothing else."""

from __future__ import annotations

import pytest

from tests.ros.graph import Graph
from tests.ros.policy import allowed


def test_the_policy_lists_what_the_node_has(graph: Graph):
    node = graph.segmenter(**{'depth.enabled': True})
    names = node.get_name(), node.get_namespace()
    graph.wait_for(lambda: node.get_service_names_and_types_by_node(*names), 'the node to find itself')
    hidden = '/segmenter/track/_action'

    def found(pairs: list[tuple[str, list[str]]]) -> set[str]:
        return {name for name, _ in pairs if not name.startswith(hidden)}

    said = found(node.get_publisher_names_and_types_by_node(*names))
    with_vision_msgs = {'/segmenter/detections', '/segmenter/detections_3d'}
    assert said | with_vision_msgs == allowed('segmenter', 'topic', 'publish')
    heard = found(node.get_subscriber_names_and_types_by_node(*names))
    elsewhere = {
        '/image/compressed',
        '/clock',
        '/parameter_events',
        '/tf',
        '/tf_static',
    }  # with other parameters, or to come
    assert heard | elsewhere == allowed('segmenter', 'topic', 'subscribe')
    assert found(node.get_service_names_and_types_by_node(*names)) == allowed('segmenter', 'service', 'reply')
    assert allowed('segmenter', 'action', 'execute') == {'/segmenter/track'}


@pytest.mark.parametrize(
    ('kind', 'verb', 'its'), [('topic', 'publish', 'subscribe'), ('topic', 'subscribe', 'publish')]
)
def test_what_a_planner_may_is_what_the_segmenter_offers(kind: str, verb: str, its: str):
    offered = allowed('segmenter', kind, its)
    assert {name for name in allowed('planner', kind, verb) if name.startswith('/segmenter')} <= offered


def test_a_camera_may_not_give_instructions():
    assert not [name for name in allowed('camera', 'topic', 'publish') if name.startswith('/segmenter')]
