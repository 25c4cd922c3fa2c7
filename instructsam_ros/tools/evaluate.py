"""Evaluates the running node on a benchmark, with the code of `instructsam-eval`.

python -m instructsam_ros.tools.evaluate roborefit --data DIR --split testA --checkpoint C --out DIR [--compare DIR]

Images and instructions go to the node's process over DDS, and masks and scores come back; queries, predictions on disk,
metrics and report are those of `instructsam-eval`. With --compare, the last line is a JSON document with the number of
queries whose predictions differ from those of another evaluation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from instructsam_model import Segmenter
from instructsam_ros.tools.client import PeerError
from instructsam_ros.tools.node_process import ChildError, NodeProcess
from instructsam_ros.tools.remote_segmenter import RemoteSegmenter
from instructsam_ros.tools.session import add_timeouts, run_session
from instructsam_training.evaluation.arguments import build_parser
from instructsam_training.evaluation.command import EXIT_FAILURE, output_folder, run_command
from instructsam_training.evaluation.report import compare_predictions

COMMAND = 'python -m instructsam_ros.tools.evaluate'


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if everything was scored and is equal; 1 if something was skipped or differs; 2 on an error.
    """
    arguments = parse_arguments(args)
    return run_session('evaluate', lambda: evaluate_node(arguments))


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(COMMAND, 'Evaluate the running node on a benchmark.')
    node = parser.add_argument_group('node')
    node.add_argument(
        '--compare', metavar='DIR', help='an evaluation by instructsam-eval, whose predictions must be equal'
    )
    add_timeouts(node)
    return parser.parse_args(args)


def evaluate_node(arguments: argparse.Namespace) -> int:
    """Evaluate the node, and compare it with another evaluation if `--compare` is given; returns as `main`."""
    try:
        exit_status = run_command(arguments, partial(open_node, arguments))
    except (PeerError, ChildError) as error:
        print(f'{COMMAND}: error: {error}', file=sys.stderr)
        return EXIT_FAILURE
    if arguments.compare is None or exit_status >= EXIT_FAILURE:
        return exit_status
    return max(exit_status, compare_predictions.main([str(output_folder(arguments)), arguments.compare]))


@contextmanager
def open_node(
    arguments: argparse.Namespace, checkpoint: str, /, **options: Any
) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
    """Start the node; it is stopped when the context ends.

    Yields:
        The node as a segmenter, and a function that returns the peak main memory of its process, in GiB.

    Raises:
        ChildError, PeerError: the process has ended, or the node cannot be configured.
    """
    parameters = {
        'checkpoint': checkpoint,
        **options,
        'request_timeout': arguments.timeout,
        'autostart': False,
    }
    with NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=parameters) as node:
        segmenter = RemoteSegmenter(node, arguments.timeout)
        try:
            segmenter.bring_up(arguments.start_timeout)
            yield segmenter, node.peak_memory_gib
        finally:
            segmenter.close()


if __name__ == '__main__':
    sys.exit(main())
