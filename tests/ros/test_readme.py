"""The output of ros2 commands in README.md is that of the node."""

from __future__ import annotations

from tests.support import ROOT
from tests.support.graph import Graph


def printed(command: str) -> list[str]:
    """The lines after a command in README.md, without empty ones."""
    _, _, shown = (ROOT / 'README.md').read_text().partition(f'    $ {command}\n')
    until_next = shown.partition('    $ ')[0].partition('</details>')[0]
    return [line.strip() for line in until_next.splitlines() if line.strip()]


def test_topic_list_is_that_of_the_node(graph: Graph):
    node = graph.segmenter(**{'depth.enabled': True})
    own = {name for name, _ in node.get_publisher_names_and_types_by_node('segmenter', '/')}
    own |= {name for name, _ in node.get_subscriber_names_and_types_by_node('segmenter', '/')}
    known = dict(node.get_topic_names_and_types())
    own = {name for name in own if '/_' not in name}  # hidden topics
    own = {name for name in own if 'detections' not in name}  # where vision_msgs is installed
    assert printed('ros2 topic list -t') == [f'{name} [{known[name][0]}]' for name in sorted(own)]


def test_shown_message_is_that_of_the_file():
    shown = iter(printed('ros2 interface show instructsam_ros/msg/Segmentation'))
    for line in (ROOT / 'msg' / 'Segmentation.msg').read_text().splitlines():
        if line.strip():
            assert line.strip() in shown, f'{line} is missing, or in another order'
