"""Displays the camera and the results of the node in Rerun: in a window, in a browser, or as a recording in a file.

instructsam-view [--node /segmenter] [--image TOPIC] [--save FILE.rrd | --connect HOST:PORT | --web]

Requires `rerun-sdk` (the extra `view`), but no ROS desktop tools.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import PointCloud2

from instructsam_model import FrameError
from instructsam_model.command_line import ArgumentParser
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.entrypoint import spin_node
from instructsam_ros.node.subscriptions import ImageSubscription
from instructsam_ros.viewer.message_buffer import MessageBuffer, Update
from instructsam_ros.viewer.rerun_sink import WEB_PORT, RerunSink

CAMERA_TIMEOUT_S = 5.0
"""Time without images after which the log has the probable reason."""
LOG_PERIOD_S = 5.0


class Viewer(Node):
    """Subscribes to a camera and a segmenter node; a second thread passes the latest messages to Rerun.

    Args:
        sink: displays or records the messages; closed with the node.
        image: topic of the images; they are compressed if it ends in /compressed.
        segmenter: full name of the segmenter node.
    """

    def __init__(self, sink: RerunSink, image: str, segmenter: str, **kwargs: Any) -> None:
        transport = 'compressed' if image.endswith('/compressed') else 'raw'
        # The subscription has a relative name, which --image remaps.
        topic = 'image/compressed' if transport == 'compressed' else 'image'
        super().__init__('instructsam_view', cli_args=['--ros-args', '-r', f'{topic}:={image}'], **kwargs)
        self._sink = sink
        self._buffer = MessageBuffer()
        self._camera = ImageSubscription(self, transport, self._buffer.put_image)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Segmentation, f'{segmenter}/segmentation', self._buffer.put_result, qos)
        self.create_subscription(PointCloud2, f'{segmenter}/points', self._buffer.put_cloud, qos)
        self.create_timer(CAMERA_TIMEOUT_S, lambda: self._camera.warn_once(CAMERA_TIMEOUT_S))
        # Encoding and sending an image takes longer than receiving it, so it must not block the executor.
        self._thread = threading.Thread(target=self._display_updates, name='viewer')
        self._thread.start()
        if sink.address:
            self.get_logger().info(f'open {sink.address}')

    def destroy_node(self) -> None:
        """Finish the current update, close the sink, then destroy the node."""
        self._buffer.close()
        self._thread.join()
        self._sink.close()
        super().destroy_node()

    def _display_updates(self) -> None:
        while (update := self._buffer.take()) is not None:
            try:
                self._display(update)
            except (FrameError, ValueError, TimeoutError) as error:
                self.get_logger().warning(f'not displayed: {error}', throttle_duration_sec=LOG_PERIOD_S)

    def _display(self, update: Update) -> None:
        if update.image is not None:
            self._sink.log_camera(update.image)
        if update.result is not None:
            if update.result_image is None:
                self.get_logger().warning(
                    'a result is displayed without its image, which did not arrive here or is no longer buffered',
                    throttle_duration_sec=LOG_PERIOD_S,
                )
            self._sink.log_result(update.result, update.result_image)
        if update.cloud is not None:
            self._sink.log_cloud(update.cloud)
        # Wait for the viewer: one that is slower than the camera would fall behind more and more.
        self._sink.flush()


def build_parser() -> argparse.ArgumentParser:
    """The command-line parser."""
    parser = ArgumentParser(
        prog='instructsam-view', description='Display the camera and the results of the segmenter node in Rerun.'
    )
    parser.add_argument('--node', default='/segmenter', help='full name of the segmenter node (default: %(default)s)')
    parser.add_argument(
        '--image',
        metavar='TOPIC',
        default='image',
        help='images that the node segments, compressed if it ends in /compressed (default: %(default)s)',
    )
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument('--save', metavar='FILE.rrd', type=Path, help='write a recording instead of opening a window')
    outputs.add_argument('--connect', metavar='ADDRESS', help='HOST:PORT or URL of a running Rerun viewer')
    outputs.add_argument(
        '--web',
        metavar='PORT',
        type=int,
        nargs='?',
        const=WEB_PORT,
        help=f'serve a web viewer on PORT and its data on PORT+1 (default: {WEB_PORT})',
    )
    return parser


def open_sink(arguments: argparse.Namespace) -> RerunSink:
    """The sink that the command line selects.

    Raises:
        ConfigError: Rerun is not installed, or the output cannot be opened.
    """
    sink = RerunSink()
    if arguments.save is not None:
        sink.save(arguments.save)
    elif arguments.connect is not None:
        sink.connect(arguments.connect)
    elif arguments.web is not None:
        sink.serve(arguments.web)
    else:
        sink.spawn()
    return sink


def main(args: list[str] | None = None) -> None:
    """Run the viewer until it is interrupted."""
    argv = sys.argv if args is None else [sys.argv[0], *args]
    # ROS arguments go to rclpy, the others to argparse.
    arguments = build_parser().parse_args(remove_ros_args(argv)[1:])
    spin_node(lambda: Viewer(open_sink(arguments), arguments.image, arguments.node), argv)


if __name__ == '__main__':
    main()
