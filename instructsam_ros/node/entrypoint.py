"""How a node of this package runs as a process of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from instructsam_model import ConfigError, FrameError


def run(make_node: Callable[[], Node], args: list[str] | None = None) -> None:
    """Make the node and serve it until SIGINT, SIGTERM or the end of its context.

    Raises:
        SystemExit: the node could not be made; the message says why.
    """
    rclpy.init(args=args)
    executor = SingleThreadedExecutor()
    node = None
    try:
        node = make_node()
        executor.add_node(node)
        executor.spin()
    except (ConfigError, FrameError) as error:
        sys.exit(f'not started: {error}')
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except rclpy_implementation.RCLError:
        # A signal may end the context between rclpy's look at it and its use (ros2/ros2cli#854).
        if rclpy.ok():
            raise
    finally:
        # One interrupt is enough: a second one, from the terminal or a launch file, would break off what ends cleanly.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
