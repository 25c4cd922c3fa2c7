"""instructsam-eval: evaluate a checkpoint, or predictions from a file, on a benchmark.

instructsam-eval roborefit --data DIR --split testA --checkpoint CircleRadon/InstructSAM-2B
torchrun --nproc_per_node 8 -m instructsam_training.cli.evaluate inst2seg --data DIR --checkpoint WEIGHTS
instructsam-eval gseval --data DIR --predictions FILE
instructsam-eval coco --annotations FILE --images DIR
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from instructsam_model.runtime.threads import prepare_threads
from instructsam_training.api import open_segmenter
from instructsam_training.evaluation.arguments import build_parser
from instructsam_training.evaluation.command import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if everything was scored, 1 if something was skipped, 2 on an error."""
    prepare_threads()
    parser = build_parser('instructsam-eval', 'Evaluate a checkpoint, or predictions from a file, on a benchmark.')
    return run_command(parser.parse_args(argv), open_segmenter)


if __name__ == '__main__':
    sys.exit(main())
