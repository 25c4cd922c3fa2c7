"""Names of the topics of each transport, and the advice if nothing is published on them."""

from __future__ import annotations

import pytest
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from instructsam_ros.image_topic import ImageTopic
from tests.support.graph import Graph

COLOR, DEPTH = ('raw', 'compressed'), ('raw', 'compressed', 'compressedDepth')


def node_with(graph: Graph, *remappings: str, namespace: str = '') -> Node:
    """A node that is remapped as on a command line."""
    arguments = ['--ros-args'] + [part for each in remappings for part in ('-r', each)]
    return graph.add(Node('node', namespace=namespace, context=graph.context, cli_args=arguments))


@pytest.mark.parametrize(
    ('remappings', 'name', 'transport', 'topic'),
    [
        ([], 'image', 'raw', '/ns/image'),
        ([], 'image', 'compressed', '/ns/image/compressed'),
        ([], 'depth/image', 'compressedDepth', '/ns/depth/image/compressedDepth'),
        (['image:=/cam/color'], 'image', 'compressed', '/cam/color/compressed'),
        (['image:=color'], 'image', 'compressed', '/ns/color/compressed'),
        (['image/compressed:=/cam/jpeg'], 'image', 'compressed', '/cam/jpeg'),
        (['image:=/cam/color', 'image/compressed:=/cam/jpeg'], 'image', 'compressed', '/cam/jpeg'),
        (['depth/image:=/cam/depth'], 'depth/image', 'compressedDepth', '/cam/depth/compressedDepth'),
        (['left/image:=/l'], 'left/image', 'compressed', '/l/compressed'),
    ],
)
def test_topic_of_a_transport(graph: Graph, remappings: list[str], name: str, transport: str, topic: str):
    node = node_with(graph, *remappings, namespace='ns')
    each = ImageTopic(node, name, transport, 'image_transport', DEPTH)
    assert each.topic == topic
    assert each.message_type == (Image if transport == 'raw' else CompressedImage)


@pytest.mark.parametrize(
    ('published', 'transport', 'transports', 'expected'),
    [
        ([], 'raw', COLOR, "no publisher on '/image'; check the remapping of 'image'"),
        (['/image'], 'raw', COLOR, ''),
        (['/image/compressed'], 'compressed', COLOR, ''),
        (
            ['/image/compressed'], 'raw', COLOR,
            "no publisher on '/image', but there is one on '/image/compressed'; set image_transport to compressed",
        ),
        (
            ['/image'], 'compressed', COLOR,
            "no publisher on '/image/compressed', but there is one on '/image'; set image_transport to raw",
        ),
        (
            ['/image/compressedDepth'], 'raw', DEPTH,
            "no publisher on '/image', but there is one on '/image/compressedDepth'; set image_transport to "
            'compressedDepth',
        ),
        (['/image/compressedDepth'], 'raw', COLOR, "no publisher on '/image'; check the remapping of 'image'"),
        (
            ['/image/zstd'], 'raw', COLOR,
            "no publisher on '/image', but there is one on '/image/zstd'; set image_transport to compressed and remap "
            "'image/compressed' to that topic",
        ),
        (
            ['/image/theora'], 'raw', COLOR,
            "no publisher on '/image', but there is one on '/image/theora', a transport that this node cannot read; "
            'decode it with ros2 run image_transport republish',
        ),
    ],
)  # fmt: skip
def test_advice_names_the_transport_that_is_published(
    graph: Graph, published: list[str], transport: str, transports: tuple[str, ...], expected: str
):
    for topic in published:
        kind = String if topic.endswith('theora') else Image if topic == '/image' else CompressedImage
        graph.peer.create_publisher(kind, topic, 1)
    topic = ImageTopic(graph.peer, 'image', transport, 'image_transport', transports)
    graph.wait_for(lambda: topic.explain_silence() == expected, f'{expected!r}, got {topic.explain_silence()!r}')


@pytest.mark.parametrize(
    ('transport', 'expected'),
    [
        (
            'raw',
            "'/cam/color/compressed' has messages of type sensor_msgs/msg/CompressedImage, not sensor_msgs/msg/Image; "
            "remap 'image' to '/cam/color' and set image_transport to compressed",
        ),
        (
            'compressed',
            "no publisher on '/cam/color/compressed/compressed'; remap 'image' to '/cam/color' and set image_transport "
            'to compressed',
        ),
    ],
)
def test_advice_if_the_image_is_remapped_to_the_topic_of_a_transport(graph: Graph, transport: str, expected: str):
    graph.peer.create_publisher(CompressedImage, '/cam/color/compressed', 1)
    topic = ImageTopic(node_with(graph, 'image:=/cam/color/compressed'), 'image', transport, 'image_transport', COLOR)
    graph.wait_for(lambda: topic.explain_silence() == expected, expected)
