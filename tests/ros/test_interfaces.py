"""The topics and the message that docs/interfaces.md shows are those of the node."""

from __future__ import annotations

from tests.support import ROOT
from tests.support.graph import Graph


def printed(command: str) -> list[str]:
    """Return the output of a command in docs/interfaces.md, without empty lines."""
    _, _, shown = (ROOT / 'docs' / 'interfaces.md').read_text().partition(f'    $ {command}\n')
    until_next = shown.partition('    $ ')[0].partition('\n## ')[0]
    return [line.strip() for line in until_next.splitlines() if line.strip()]


def test_topics_are_those_of_the_node(graph: Graph):
    node = graph.segmenter(**{'depth.enabled': True})
    own = {name for name, _ in node.get_publisher_names_and_types_by_node('segmenter', '/')}
    own |= {name for name, _ in node.get_subscriber_names_and_types_by_node('segmenter', '/')}
    known = dict(node.get_topic_names_and_types())
    own = {name for name in own if '/_' not in name}  # those are hidden
    own = {name for name in own if 'detections' not in name}  # where vision_msgs is installed
    assert printed('ros2 topic list -t') == [f'{name} [{known[name][0]}]' for name in sorted(own)]


def test_message_is_that_of_the_file():
    shown = iter(printed('ros2 interface show instructsam_ros/msg/Segmentation'))
    for line in (ROOT / 'msg' / 'Segmentation.msg').read_text().splitlines():
        if line.strip():
            assert line.strip() in shown, f'{line} is not shown, or not in this order'
