"""What the node adds to inference, and how often it answers.

A camera of noise publishes at a rate; the figures are the node's own: `latency` is from the arrival of the picture at
the node to the publication of the answer, `inference` is the model's part of it. What is left, the overhead, is
decoding, hand-over between threads, making the message and publishing it. `capture` is from the stamp of the picture to
the receipt of the answer by this process: both ways over DDS are in it. Ask for a rate that the model keeps up with
to measure the overhead, and for a higher one to measure throughput: then pictures also wait for the one before.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image as Picture
from rclpy.clock import Clock
from rclpy.time import Time
from rich.console import Console
from rich.table import Table

from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.session import add_arguments, open_session, run_session
from instructsam_ros.tools.soak import is_past

INFERENCE = 'inference p50 (ms)'
DISCARDED_S = 3.0
"""From the first answers, which are slower."""


class Account:
    """What the node says while it is measured.

    Attributes:
        clock: what pictures are stamped by.
        latencies_ms: of each answer.
        captures_ms: from its picture's stamp to its receipt, of each answer.
        inference_ms: medians of the last seconds, as they are reported.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.latencies_ms: list[float] = []
        self.captures_ms: list[float] = []
        self.inference_ms: list[float] = []

    def on_answer(self, answer: Segmentation) -> None:
        """Note an answer."""
        self.latencies_ms.append(1e3 * answer.latency)
        age = self.clock.now() - Time.from_msg(answer.header.stamp, self.clock.clock_type)
        self.captures_ms.append(age.nanoseconds / 1e6)

    def on_diagnostics(self, array: DiagnosticArray) -> None:
        """Note what the model took."""
        values = {value.key: value.value for status in array.status for value in status.values}
        if INFERENCE in values:
            self.inference_ms.append(float(values[INFERENCE]))

    def summarize(self, seconds: float) -> dict[str, float | int]:
        """The figures of so many seconds."""
        latency_ms, inference_ms = np.median(self.latencies_ms), np.median(self.inference_ms)
        return {
            'answers': len(self.latencies_ms),
            'answers_per_s': round(len(self.latencies_ms) / seconds, 2),
            'latency_p50_ms': round(float(latency_ms), 2),
            'latency_p95_ms': round(float(np.percentile(self.latencies_ms, 95)), 2),
            'capture_p95_ms': round(float(np.percentile(self.captures_ms, 95)), 2),
            'inference_p50_ms': round(float(inference_ms), 2),
            'overhead_p50_ms': round(float(latency_ms - inference_ms), 2),
        }


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure for as long as the arguments say.

    Raises:
        ChildError, PeerError: a process has ended, or there are no answers.
    """
    width, height = (int(side) for side in arguments.size.split('x'))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'noise.png'
        noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        Picture.fromarray(noise).resize((width, height)).save(path)
        camera = {'path': str(path), 'rate_hz': arguments.rate}
        with open_session('image_player', camera, arguments, instruction=arguments.instruction) as (planner, _):
            account = Account(planner.node.get_clock())
            planner.node.create_subscription(Segmentation, 'segmenter/segmentation', account.on_answer, 10)
            planner.wait_for(partial(is_past, time.monotonic() + DISCARDED_S), 'the first answers')
            planner.node.create_subscription(DiagnosticArray, '/diagnostics', account.on_diagnostics, 10)
            account.latencies_ms.clear()
            account.captures_ms.clear()
            started_s = time.monotonic()
            planner.wait_for(partial(is_past, started_s + arguments.seconds), 'the answers')
            figures = account.summarize(time.monotonic() - started_s)
    return {'size': arguments.size, 'rate_hz': arguments.rate, **figures}


def main(args: list[str] | None = None) -> None:
    """Measure the node."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_ros.tools.bench', description=__doc__.split('\n\n')[0])
    parser.add_argument('--size', default='1280x720', help='of the pictures (%(default)s)')
    parser.add_argument('--rate', type=float, default=2.0, help='pictures per second (%(default)g)')
    parser.add_argument('--seconds', type=float, default=20.0, help='how long (%(default)g)')
    parser.add_argument('--instruction', default='the red box', help='the standing one (%(default)s)')
    parser.add_argument('--out', type=Path, help='file for the last line, for instructsam_model.bench.report')
    add_arguments(parser)
    arguments = parser.parse_args(args)
    result = run_session('bench', lambda: bench(arguments))
    table = Table(title=f'the node at {arguments.size}, {arguments.rate:g} Hz')
    table.add_column('figure')
    table.add_column('value', justify='right')
    for name, value in result.items():
        table.add_row(name, str(value))
    Console().print(table)
    line = json.dumps(result)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(line + '\n')
    print(line)


if __name__ == '__main__':
    main()
