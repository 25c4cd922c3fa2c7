"""instructsam-train whose checkpoints take 40 seconds to write, as those of a large sharded network."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from instructsam_training.cli.train import main
from instructsam_training.engine import state

SECONDS = 40
write = state.write_tensor_file


def write_slowly(file: Path, tensors: Any) -> None:
    """Wait before the last file of a checkpoint."""
    if file.name == 'ema.safetensors':
        time.sleep(SECONDS)
    write(file, tensors)


if __name__ == '__main__':
    state.write_tensor_file = write_slowly
    sys.exit(main())
