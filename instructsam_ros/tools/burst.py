"""Many simultaneous calls of `~/segment` of a running node: how many are answered, and with which error codes.

python -m instructsam_ros.tools.burst --processes 4 --clients 5 --calls 15 [--size 640x480] [--depth 10]

Prints one JSON document. The exit status is 1 if a call has no reply. Without --size the requests have no image, and
the node takes those of its camera.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import rclpy
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model.command_line import ArgumentParser
from instructsam_ros.inference.error_codes import ErrorCode
from instructsam_ros.messages.image import make_image
from instructsam_ros.node.request_limits import REQUEST_DEPTH
from instructsam_ros.srv import Segment


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a call has no reply."""
    arguments = build_parser().parse_args(argv)
    if arguments.at:
        print(json.dumps(call_all(arguments)))
        return 0
    at_s = time.time() + arguments.startup
    command = [sys.executable, '-m', __spec__.name, *(sys.argv[1:] if argv is None else argv), '--at', str(at_s)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(arguments.processes)]
    outputs = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    codes = sum((Counter(output['codes']) for output in outputs), Counter[str]())
    calls = arguments.processes * arguments.clients * arguments.calls
    took_s = max(output['last_s'] for output in outputs)
    print(
        json.dumps({'calls': calls, 'replies': codes.total(), 'codes': dict(codes), 'last_reply_s': round(took_s, 2)})
    )
    return 0 if codes.total() == calls else 1


def build_parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = ArgumentParser(prog='python -m instructsam_ros.tools.burst', description=__doc__)
    parser.add_argument('--service', default='segmenter/segment', help='name of the service (default: %(default)s)')
    parser.add_argument('--processes', type=int, default=4, help='processes of clients (default: %(default)s)')
    parser.add_argument('--clients', type=int, default=5, help='clients, each a node, per process')
    parser.add_argument('--calls', type=int, default=15, help='simultaneous calls per client (default: %(default)s)')
    parser.add_argument('--size', default='', help='size of the images of the requests, such as 640x480')
    parser.add_argument(
        '--depth',
        type=int,
        default=REQUEST_DEPTH,
        help='depth of the queues of each client; 10 is the default of ROS (default: %(default)s)',
    )
    parser.add_argument('--timeout', type=float, default=30.0, help='time to wait for replies (default: %(default)s s)')
    parser.add_argument(
        '--startup', type=float, default=5.0, help='time for discovery before the calls (default: %(default)s s)'
    )
    parser.add_argument('--at', type=float, default=0.0, help=argparse.SUPPRESS)
    return parser


def call_all(arguments: argparse.Namespace) -> dict[str, object]:
    """Call from all clients of this process at the time `at`; return the error codes and the time of the last reply."""
    rclpy.init(args=[])
    executor = SingleThreadedExecutor()
    nodes = [Node(f'burst_{time.time_ns()}_{number}') for number in range(arguments.clients)]
    qos = QoSProfile(depth=arguments.depth)
    clients: list[Client[Any, Any]] = [
        node.create_client(Segment, arguments.service, qos_profile=qos) for node in nodes
    ]
    for node, client in zip(nodes, clients, strict=True):
        executor.add_node(node)
        client.wait_for_service(arguments.startup)
    request = Segment.Request(instruction='red', image=_make_image(arguments.size))
    time.sleep(max(arguments.at - time.time(), 0.0))
    started_s = last_s = time.monotonic()
    futures = [client.call_async(request) for _ in range(arguments.calls) for client in clients]
    done = 0
    while done < len(futures) and time.monotonic() < started_s + arguments.timeout:
        executor.spin_once(timeout_sec=0.1)
        if (now_done := sum(future.done() for future in futures)) > done:
            done, last_s = now_done, time.monotonic()
    replies: list[Any] = [future.result() for future in futures if future.done()]
    codes = Counter(ErrorCode(reply.error_code).name for reply in replies)
    rclpy.try_shutdown()
    return {'codes': codes, 'last_s': last_s - started_s}


def _make_image(size: str) -> Image:
    if not size:
        return Image()
    width, height = map(int, size.split('x'))
    return make_image(np.zeros((height, width, 3), dtype=np.uint8), 'rgb8', Header())


if __name__ == '__main__':
    sys.exit(main())
