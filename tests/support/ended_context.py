"""A node whose context ends just before rclpy waits for it, as a signal between two of its lines would have it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rclpy
from rclpy import executors
from rclpy.node import Node

make_wait_set = executors._rclpy.WaitSet


def end_and_make(*arguments: Any) -> Any:
    """Stands in for what rclpy calls right after it saw that the context is sound."""
    rclpy.shutdown()
    return make_wait_set(*arguments)


if __name__ == '__main__':
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / 'model')]

    from instructsam_ros.node.entrypoint import spin_node

    executors._rclpy.WaitSet = end_and_make
    spin_node(lambda: Node('ended'), sys.argv[1:])
