"""Evaluates a checkpoint on a benchmark through the running node, sample by sample as `instructsam-eval`.

python -m instructsam_ros.tools.evaluate roborefit --data DIR --split testA --checkpoint C --out DIR [--compare DIR]

Images and instructions go to the node's process over DDS, and masks and scores come back. Queries, prediction files,
metrics and report are those of `instructsam-eval`. With --compare, the last line is a JSON document with the number of
samples whose predictions differ from those of another evaluation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from instructsam_model import Segmenter
from instructsam_ros.tools.client import ClientError, SegmenterClient
from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError
from instructsam_ros.tools.remote_segmenter import RemoteSegmenter
from instructsam_ros.tools.runner import add_timeout_arguments, run_session
from instructsam_training.evaluation.arguments import build_parser
from instructsam_training.evaluation.command import EXIT_FAILURE, output_folder, run_command
from instructsam_training.evaluation.report import compare_predictions

COMMAND = 'python -m instructsam_ros.tools.evaluate'
RESPONSE_MARGIN_S = 10.0
"""The client waits this much longer than the node's request_timeout, for the response that reports the timeout."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if everything was scored and is equal; 1 if something was skipped or differs; 2 on an error.
    """
    arguments = parse_arguments(args)
    return run_session('evaluate', lambda: evaluate_node(arguments))


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(COMMAND, 'Evaluate a checkpoint on a benchmark through the running node.')
    node = parser.add_argument_group('node')
    node.add_argument(
        '--compare', metavar='DIR', help='folder of an evaluation by instructsam-eval to compare the predictions with'
    )
    add_timeout_arguments(node)
    return parser.parse_args(args)


def evaluate_node(arguments: argparse.Namespace) -> int:
    """Evaluate the node, and compare it with another evaluation if `--compare` is given; returns as `main`."""
    try:
        exit_status = run_command(arguments, partial(open_node, arguments))
    except (ClientError, ProcessEndedError) as error:
        print(f'{COMMAND}: error: {error}', file=sys.stderr)
        return EXIT_FAILURE
    # After an error there are no predictions to compare.
    if arguments.compare is None or exit_status >= EXIT_FAILURE:
        return exit_status
    return max(exit_status, compare_predictions.main([str(output_folder(arguments)), arguments.compare]))


@contextmanager
def open_node(
    arguments: argparse.Namespace, checkpoint: str, /, **options: Any
) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
    """Start the node; end it with the context.

    Args:
        arguments: parsed arguments of the command.
        checkpoint: folder of the checkpoint.
        **options: further parameters of the node.

    Yields:
        The node as a segmenter, and a function that returns the peak memory of its process in GiB; call it before the
        context ends, because a process that has ended has none.

    Raises:
        ProcessEndedError: the process has ended.
        ClientError: the node cannot be configured or activated.
    """
    # Without autostart, so that `bring_up` reports errors of loading to this process.
    parameters = {
        'checkpoint': checkpoint,
        **options,
        'request_timeout': arguments.timeout,
        'autostart': False,
    }
    with NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=parameters) as node:
        client = SegmenterClient('remote_segmenter', arguments.timeout + RESPONSE_MARGIN_S, node)
        segmenter = RemoteSegmenter(client)
        try:
            client.bring_up(arguments.start_timeout)
            yield segmenter, node.peak_memory_gib
        finally:
            segmenter.close()


if __name__ == '__main__':
    sys.exit(main())
