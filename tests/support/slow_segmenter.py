"""Runs the node with a fake segmenter; the first argument is the inference time in seconds."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == '__main__':
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / 'model')]

    from instructsam_ros.node.entrypoint import spin_node
    from instructsam_ros.node.segmenter_node import SegmenterNode
    from tests.support.fake_segmenter import FakeSegmenter

    spin_node(lambda: SegmenterNode(lambda *_, **__: FakeSegmenter(float(sys.argv[1]))), sys.argv[2:])
