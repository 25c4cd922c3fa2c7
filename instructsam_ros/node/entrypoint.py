"""`spin_node`: runs a node of this package as a process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from instructsam_model import ConfigError, FrameError
from instructsam_ros.inference.worker import THREAD_NAME
from instructsam_ros.node.parameter_sources import read_sources


def spin_node(make_node: Callable[[], Node], args: list[str] | None = None) -> None:
    """Make a node and spin it until SIGINT, SIGTERM or the shutdown of its context.

    Raises:
        SystemExit: the node could not be made; the message is the reason.
    """
    try:
        # Before rcl, which reports a missing or broken file of parameters as an internal error.
        read_sources(sys.argv if args is None else args)
        rclpy.init(args=args)
    except (ConfigError, rclpy_implementation.RCLError) as error:
        sys.exit(f'not started: {error}')
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
        # A signal may shut the context down after rclpy has checked it (ros2/ros2cli#854).
        if rclpy.ok():
            raise
    finally:
        # Ignore a second interrupt, from the terminal or a launch file: it would abort the clean shutdown.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
        _exit_beside_the_model()


def _exit_beside_the_model() -> None:
    """End the process while a thread loads a model or is stuck in it.

    The normal exit of Python ends such a thread inside native code (`pthread_exit`, python/cpython#87135), which
    aborts the process: `terminate called without an active exception`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
