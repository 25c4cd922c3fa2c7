"""Runs the node with a segmenter that takes 60 s to load, in native code that releases Python's lock, as weights do."""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == '__main__':
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / 'model')]

    import torch

    from instructsam_ros.node.entrypoint import spin_node
    from instructsam_ros.node.segmenter_node import SegmenterNode
    from tests.support.fake_segmenter import FakeSegmenter

    def load(*_: object) -> FakeSegmenter:
        print('loading', flush=True)
        weights = torch.zeros(1000, 1000)
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            weights = weights.clone()
        return FakeSegmenter()

    spin_node(lambda: SegmenterNode(load), sys.argv[1:])
