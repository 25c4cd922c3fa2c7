"""A benchmark through the running node: the evaluation of `instructsam-eval`, sample for sample.

python -m instructsam_ros.tools.evaluate roborefit --data DIR --split testA --checkpoint C --out DIR [--compare DIR]

Pictures and instructions go to the node's process over DDS, and masks and scores come back; questions, answers on disk,
metrics and report are those of `instructsam-eval`. With --compare, the last line is a JSON document that says how many
samples differ from those of another evaluation.
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
from instructsam_training.evaluation.evaluate import IMPOSSIBLE, folder_of, run_command
from instructsam_training.evaluation.report import compare_predictions as agreement

COMMAND = 'python -m instructsam_ros.tools.evaluate'


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when all is scored and agrees; 1 when something was skipped or differs; 2 when it cannot be done.
    """
    arguments = parse_arguments(args)
    return run_session('evaluate', lambda: evaluate(arguments))


def parse_arguments(args: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = build_parser(COMMAND, 'Score a checkpoint on a benchmark through the running node.')
    node = parser.add_argument_group('node')
    node.add_argument(
        '--compare', metavar='DIR', help='an evaluation by instructsam-eval, whose answers must be the same'
    )
    add_timeouts(node)
    return parser.parse_args(args)


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate, and compare with another evaluation where that is asked for; the exit status is as of `main`."""
    try:
        outcome = run_command(arguments, partial(open_node, arguments))
    except (PeerError, ChildError) as error:
        print(f'{COMMAND}: error: {error}', file=sys.stderr)
        return IMPOSSIBLE
    if arguments.compare is None or outcome >= IMPOSSIBLE:
        return outcome
    return max(outcome, agreement.main([str(folder_of(arguments)), arguments.compare]))


@contextmanager
def open_node(
    arguments: argparse.Namespace, checkpoint: str, /, **options: Any
) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
    """Start the node, and end it with the context.

    Yields:
        The node as a segmenter, and what tells how much main memory its process has used at most, in GiB.

    Raises:
        ChildError, PeerError: the process has ended, or the node cannot be configured.
    """
    parameters = {
        'checkpoint': checkpoint,
        **options,
        'speculative_decoding': False,  # what is answered shall not depend on what was asked before
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
