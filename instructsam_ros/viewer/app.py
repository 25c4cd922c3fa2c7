"""Shows the camera and the node's answers in Rerun: in a window, in a browser, or in a file to look at later.

instructsam-view [--node /segmenter] [--image TOPIC] [--save FILE.rrd | --connect HOST:PORT | --web]

Needs no ROS desktop tools, only `rerun-sdk` (the extra `view`).
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
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.entrypoint import spin_node
from instructsam_ros.node.subscriptions import ImageSubscription
from instructsam_ros.viewer.message_buffer import MessageBuffer, News
from instructsam_ros.viewer.rerun_sink import WEB_PORT, RerunSink

SILENCE_S = 5.0
"""Without a picture for so long, the log says why."""
WARNING_S = 5.0


class Viewer(Node):
    """Listens to a camera and to the node `segmenter`, and hands what is newest to a thread that shows it.

    Args:
        recording: where it is shown. It is closed with the node.
        image: topic of the pictures; compressed ones when it ends in /compressed.
        segmenter: full name of the node.
    """

    def __init__(self, recording: RerunSink, image: str, segmenter: str, **kwargs: Any) -> None:
        transport = 'compressed' if image.endswith('/compressed') else 'raw'
        topic = 'image/compressed' if transport == 'compressed' else 'image'
        super().__init__('instructsam_view', cli_args=['--ros-args', '-r', f'{topic}:={image}'], **kwargs)
        self._recording = recording
        self._heard = MessageBuffer()
        self._camera = ImageSubscription(self, transport, self._heard.put_picture)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Segmentation, f'{segmenter}/segmentation', self._heard.put_answer, qos)
        self.create_subscription(PointCloud2, f'{segmenter}/points', self._heard.put_cloud, qos)
        self.create_timer(SILENCE_S, lambda: self._camera.warn_once(SILENCE_S))
        self._thread = threading.Thread(target=self._show_all, name='viewer')
        self._thread.start()
        if recording.address:
            self.get_logger().info(f'open {recording.address}')

    def destroy_node(self) -> None:
        """Show what is being shown, close the recording, then destroy the node."""
        self._heard.close()
        self._thread.join()
        self._recording.close()
        super().destroy_node()

    def _show_all(self) -> None:
        while (news := self._heard.take()) is not None:
            try:
                self._show(news)
            except (FrameError, ValueError, TimeoutError) as error:
                self.get_logger().warning(f'not shown: {error}', throttle_duration_sec=WARNING_S)

    def _show(self, news: News) -> None:
        if news.picture is not None:
            self._recording.log_camera(news.picture)
        if news.answer is not None:
            if news.answered_picture is None:
                self.get_logger().warning(
                    'an answer is shown without its picture, which was not heard here or came too long ago',
                    throttle_duration_sec=WARNING_S,
                )
            self._recording.log_answer(news.answer, news.answered_picture)
        if news.cloud is not None:
            self._recording.log_cloud(news.cloud)
        self._recording.flush()


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='instructsam-view', description='Show the camera and the answers of the node segmenter in Rerun.'
    )
    parser.add_argument('--node', default='/segmenter', help='full name of the node (default: %(default)s)')
    parser.add_argument(
        '--image',
        metavar='TOPIC',
        default='image',
        help='what the node looks at; ends in /compressed if it is (default: %(default)s)',
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument('--save', metavar='FILE.rrd', type=Path, help='write a file and open no window')
    places.add_argument('--connect', metavar='ADDRESS', help='HOST:PORT or URL of a Rerun viewer that runs already')
    places.add_argument(
        '--web',
        metavar='PORT',
        type=int,
        nargs='?',
        const=WEB_PORT,
        help=f'serve a page on PORT, and its data on the port after it (default: {WEB_PORT})',
    )
    return parser


def open_recording(arguments: argparse.Namespace) -> RerunSink:
    """The recording that the command line asks for.

    Raises:
        ConfigError: Rerun is not installed, or the recording cannot go there.
    """
    recording = RerunSink()
    if arguments.save is not None:
        recording.save(arguments.save)
    elif arguments.connect is not None:
        recording.connect(arguments.connect)
    elif arguments.web is not None:
        recording.serve(arguments.web)
    else:
        recording.spawn()
    return recording


def main(args: list[str] | None = None) -> None:
    """Run the viewer until it is interrupted."""
    words = sys.argv if args is None else [sys.argv[0], *args]
    arguments = build_parser().parse_args(remove_ros_args(words)[1:])
    spin_node(lambda: Viewer(open_recording(arguments), arguments.image, arguments.node), words)


if __name__ == '__main__':
    main()
