"""A recording that is played in a loop: /clock and stamps start over, and topics can be muted."""

from __future__ import annotations

import numpy as np
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.sim.lap_player import LapPlayer
from tests.support.graph import Graph

SECOND_NS = 1_000_000_000
START_NS = 1_000 * SECOND_NS


def test_laps(graph: Graph):
    parameters = [Parameter('lap_s', value=1.0), Parameter('speed', value=5.0)]
    player = graph.add(LapPlayer(context=graph.context, parameter_overrides=parameters, cli_args=[]))
    recorded = {
        kind: graph.peer.create_publisher(kind, f'recorded/{topic}', 100)
        for kind, topic in ((Image, 'image'), (CameraInfo, 'camera_info'))
    }
    for publisher in recorded.values():
        graph.wait_for(lambda publisher=publisher: publisher.get_subscription_count(), 'the player')
    clocks, images = graph.subscribe('/clock', Clock), graph.subscribe('image', Image)
    sent = []
    for tick in range(11):
        image = graph.image('red')
        image.header.stamp = make_stamp(START_NS + tick * SECOND_NS // 10)
        sent.append(image)
        recorded[CameraInfo].publish(CameraInfo(header=image.header))
        recorded[Image].publish(image)
    graph.wait_for(lambda: len(images) > 25, 'three laps')
    stamps_ns = [read_stamp_ns(image.header.stamp) for image in images]
    steps_ns = np.diff(stamps_ns)
    # The last image of the recording is that before the message that made it long enough.
    assert np.median(steps_ns[steps_ns > 0]) == SECOND_NS // 10
    assert np.median(steps_ns[steps_ns < 0]) in (-9 * SECOND_NS // 10, -SECOND_NS)  # a busy machine may drop an image
    assert np.count_nonzero(steps_ns < 0) >= 2
    assert images[-1] in sent
    assert min(np.diff([read_stamp_ns(message.clock) for message in clocks])) <= -9 * SECOND_NS // 10

    graph.run_in_executor(lambda: player.set_parameters([Parameter('muted', value=['image'])]))
    graph.wait_for(lambda: len(clocks) > 100, 'another lap')
    before = len(images)
    clocks.clear()
    graph.wait_for(lambda: len(clocks) > 20, 'another lap')
    assert len(images) == before
    graph.run_in_executor(
        lambda: player.set_parameters([Parameter('muted', value=['']), Parameter('broken', value=['image'])])
    )
    graph.wait_for(lambda: images[-1].width == 0, 'a broken image')
