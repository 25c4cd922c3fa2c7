"""Measures the result rate of the node and the overhead that it adds to inference.

A camera publishes a noise image at a fixed rate. `latency` is measured by the node, from the arrival of an image to the
publication of its result; `inference` is the model's part of it, from /diagnostics. The difference, `overhead`, is
decoding, hand-over between threads, and making and publishing the message. `capture` is measured by this process, from
the stamp of an image to the receipt of its result, so both transports over DDS are included.
Choose a rate below that of the model to measure the overhead, and a higher one to measure the throughput: then images
also wait for the inference of the previous image.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from PIL import Image
from rclpy.clock import Clock
from rclpy.time import Time
from rich.console import Console
from rich.table import Table

from instructsam_model.bench.arguments import parse_size
from instructsam_model.command_line import ArgumentParser
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.runner import add_arguments, open_session, run_session

INFERENCE = 'inference p50 (ms)'
WARM_UP_S = 3.0
"""Results of the first seconds are slower and not counted."""


class LatencyRecorder:
    """Collects latencies from the messages of the node.

    Attributes:
        clock: clock of the stamps of the images.
        latencies_ms: latency of each result.
        captures_ms: time from the stamp of the image to the receipt of each result.
        inference_ms: medians of the inference time over the last seconds, from /diagnostics.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.latencies_ms: list[float] = []
        self.captures_ms: list[float] = []
        self.inference_ms: list[float] = []

    def add_result(self, result: Segmentation) -> None:
        """Record the latency of a result."""
        if result.status == Segmentation.WITHDRAWN:  # no result of an image
            return
        self.latencies_ms.append(1e3 * result.latency)
        # The camera stamps its images with the same clock, on the same machine.
        age = self.clock.now() - Time.from_msg(result.header.stamp, self.clock.clock_type)
        self.captures_ms.append(age.nanoseconds / 1e6)

    def add_diagnostics(self, array: DiagnosticArray) -> None:
        """Record the inference time."""
        values = {value.key: value.value for status in array.status for value in status.values}
        if INFERENCE in values:
            self.inference_ms.append(float(values[INFERENCE]))

    def clear(self) -> None:
        """Drop the results so far."""
        self.latencies_ms.clear()
        self.captures_ms.clear()

    def summarize(self, duration_s: float) -> dict[str, float | int]:
        """Return the results of the measurement; the keys are those that instructsam_model.bench.report reads."""
        latency_ms, inference_ms = np.median(self.latencies_ms), np.median(self.inference_ms)
        return {
            'answers': len(self.latencies_ms),
            'answers_per_s': round(len(self.latencies_ms) / duration_s, 2),
            'latency_p50_ms': round(float(latency_ms), 2),
            'latency_p95_ms': round(float(np.percentile(self.latencies_ms, 95)), 2),
            'capture_p95_ms': round(float(np.percentile(self.captures_ms, 95)), 2),
            'inference_p50_ms': round(float(inference_ms), 2),
            'overhead_p50_ms': round(float(latency_ms - inference_ms), 2),
        }


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start the processes and measure for as long as the arguments say.

    Raises:
        ConfigError: the size of the images has another form than 1280x720.
        ProcessEndedError: a process has ended.
        ClientError: the node cannot be brought up.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'noise.png'
        _write_noise(path, parse_size(arguments.size))
        camera = {'path': str(path), 'rate_hz': arguments.rate}
        with open_session('image_player', camera, arguments, instruction=arguments.instruction) as session:
            node = session.client.node
            recorder = LatencyRecorder(node.get_clock())
            # 1. Warm up with a subscription, because discovery takes part of that time.
            node.create_subscription(Segmentation, 'segmenter/segmentation', recorder.add_result, 10)
            session.client.spin_for(WARM_UP_S)
            # 2. Measure; the inference time is on /diagnostics, once a second.
            node.create_subscription(DiagnosticArray, '/diagnostics', recorder.add_diagnostics, 10)
            recorder.clear()
            started_s = time.monotonic()
            session.client.spin_for(arguments.seconds)
            numbers = recorder.summarize(time.monotonic() - started_s)
    return {'size': arguments.size, 'rate_hz': arguments.rate, **numbers}


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = ArgumentParser(prog='python -m instructsam_ros.tools.bench', description=__doc__.split('\n\n')[0])
    parser.add_argument(
        '--size', default='1280x720', metavar='WxH', help='size of the images in pixels (default: %(default)s)'
    )
    parser.add_argument('--rate', type=float, default=2.0, help='images per second (default: %(default)g)')
    parser.add_argument('--seconds', type=float, default=20.0, help='duration (default: %(default)g)')
    parser.add_argument('--instruction', default='the red box', help='instruction (default: %(default)s)')
    parser.add_argument(
        '--out', type=Path, help='also write the JSON line to a file, for instructsam_model.bench.report'
    )
    add_arguments(parser)
    arguments = parser.parse_args(args)
    result = run_session('bench', lambda: bench(arguments))
    table = Table(title=f'Segmenter node, {arguments.size} at {arguments.rate:g} Hz')
    table.add_column('quantity')
    table.add_column('value', justify='right')
    for name, value in result.items():
        table.add_row(name, str(value))
    Console().print(table)
    line = json.dumps(result)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(line + '\n')
    print(line)


def _write_noise(path: Path, size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    # Upscaled by 8, so that the PNG stays small and the image is not uniform.
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(path)


if __name__ == '__main__':
    main()
