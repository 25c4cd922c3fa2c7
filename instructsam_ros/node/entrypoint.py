"""`spin_node`: runs a node of this package as a process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from instructsam_model import ConfigError, FrameError
from instructsam_ros.inference.worker import THREAD_NAME
from instructsam_ros.node.parameter_sources import check_words, read_sources


def run_node(make_node: Callable[..., Node], args: list[str] | None = None) -> None:
    """Run a node whose command line has nothing but ROS arguments, see `spin_node`.

    Args:
        make_node: the class of the node.
        args: words of the command line, the name of the program first; None for those of this process.

    Raises:
        SystemExit: there are other words, which rcl would ignore, or as `spin_node`.
    """
    try:
        check_words(sys.argv if args is None else args)
    except ConfigError as error:
        sys.exit(f'not started: {error}')
    spin_node(partial(make_node, cli_args=args), args)


def spin_node(make_node: Callable[[], Node], args: list[str] | None = None) -> None:
    """Make a node and spin it until SIGINT, SIGTERM or the shutdown of its context.

    Raises:
        SystemExit: the node could not be made; the message is the reason.
    """
    try:
        # Before rcl, which reports a missing or broken file of parameters as an internal error.
        read_sources(sys.argv if args is None else args)
        # Without rclpy's handlers, which end the context at once: the node has to withdraw its results first.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except (ConfigError, rclpy_implementation.RCLError) as error:
        sys.exit(f'not started: {error}')
    executor = SingleThreadedExecutor()
    node = None
    try:
        with interruption(executor) as interrupted:
            node = make_node()
            executor.add_node(node)
            executor.spin_until_future_complete(interrupted)
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
        executor.shutdown(timeout_sec=0)  # Humble would wait for coroutines that it no longer resumes
        rclpy.try_shutdown()
    if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
        _exit_beside_the_model()


@contextmanager
def interruption(executor: Executor) -> Iterator[Future[None]]:
    """Yield a future that is done after SIGINT or SIGTERM, which also wake the executor. For the main thread."""
    interrupted: Future[None] = Future()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set_result(None))
    previous = signal.set_wakeup_fd(sender.fileno())

    def wake() -> None:
        # Python runs the handler above only when the executor returns from native code.
        while receiver.recv(1):
            executor.wake()

    thread = threading.Thread(target=wake, name='signals', daemon=True)
    thread.start()
    try:
        yield interrupted
    finally:
        signal.set_wakeup_fd(previous)
        sender.close()  # ends the thread
        thread.join()
        receiver.close()


def _exit_beside_the_model() -> None:
    """End the process while a thread loads a model or is stuck in it.

    The normal exit of Python ends such a thread inside native code (`pthread_exit`, python/cpython#87135), which
    aborts the process: `terminate called without an active exception`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
