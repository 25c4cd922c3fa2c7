"""instructsam-eval: score a checkpoint, or anybody's predictions, on a benchmark.

instructsam-eval roborefit --data DIR --split testA --checkpoint CircleRadon/InstructSAM-2B
torchrun --nproc_per_node 8 -m instructsam_training.cli.evaluate inst2seg --data DIR --checkpoint WEIGHTS
instructsam-eval gseval --data DIR --predictions FILE
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from instructsam_model.datatypes import Segmenter
from instructsam_model.runtime.threads import prepare_threads
from instructsam_training.evaluation.arguments import build_parser
from instructsam_training.evaluation.evaluate import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when all is scored, 1 when something was skipped, 2 when it cannot be done."""
    prepare_threads()
    parser = build_parser('instructsam-eval', 'Score a checkpoint, or predictions from elsewhere, on a benchmark.')
    return run_command(parser.parse_args(argv), in_this_process)


@contextmanager
def in_this_process(checkpoint: str, /, **options: Any) -> Iterator[tuple[Segmenter, Callable[[], float]]]:
    """The segmenter itself."""
    # Here, because they bring torch: wrong arguments and --help need not wait for it.
    from instructsam_model import load_segmenter
    from instructsam_model.runtime.memory import peak_memory_gib

    yield load_segmenter(checkpoint, **options), peak_memory_gib


if __name__ == '__main__':
    sys.exit(main())
