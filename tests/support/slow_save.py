"""instructsam-train whose checkpoints take 40 seconds to write, as those of a large sharded network."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from instructsam_training.cli.train import main
from instructsam_training.engine import state

SECONDS = 40
write = state.save_file


def write_slowly(tensors: Any, file: Path) -> None:
    """Wait before the last file of a checkpoint."""
    if file.name == 'ema.safetensors':
        time.sleep(SECONDS)
    write(tensors, file)


if __name__ == '__main__':
    state.save_file = write_slowly
    sys.exit(main())
