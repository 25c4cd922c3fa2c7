"""The topics and the message that docs/interfaces.md shows are those of the node."""

from __future__ import annotations

from rclpy.node import Node

from instructsam_ros.node.outputs import OUTPUTS
from tests.support import ROOT
from tests.support.graph import Graph


def printed(command: str) -> list[str]:
    """Return the output of a command in docs/interfaces.md, without empty lines."""
    _, _, shown = (ROOT / 'docs' / 'interfaces.md').read_text().partition(f'    $ {command}\n')
    until_next = shown.partition('    $ ')[0].partition('\n## ')[0]
    return [line.strip() for line in until_next.splitlines() if line.strip()]


def topics_of(node: Node) -> list[str]:
    """The topics of a node as `ros2 topic list -t` prints them, without those of optional packages."""
    names = {name for name, _ in node.get_publisher_names_and_types_by_node('segmenter', '/')}
    names |= {name for name, _ in node.get_subscriber_names_and_types_by_node('segmenter', '/')}
    types = dict(node.get_topic_names_and_types())
    optional = {f'/segmenter/{output.name}' for output in OUTPUTS if output.is_optional}
    # Names with '/_' are hidden.
    return [f'{name} [{types[name][0]}]' for name in sorted(names - optional) if '/_' not in name]


def test_topic_list_is_that_of_the_node(graph: Graph):
    node = graph.segmenter(**{'depth.enabled': True})
    expected = printed('ros2 topic list -t')
    # A node discovers its own endpoints with a delay.
    graph.wait_for(lambda: len(topics_of(node)) >= len(expected), 'discovery')
    assert topics_of(node) == expected


def test_message_is_that_of_the_file():
    shown = iter(printed('ros2 interface show instructsam_ros/msg/Segmentation'))
    for line in (ROOT / 'msg' / 'Segmentation.msg').read_text().splitlines():
        if line.strip():
            assert line.strip() in shown, f'{line} is missing, or in another order'
