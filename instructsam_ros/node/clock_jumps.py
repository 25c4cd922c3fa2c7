"""`ClockJumps`: notices when the clock of the node jumps back or is replaced by another one."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import ClockChange, JumpHandle, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

from instructsam_ros.inference.timeline import JUMP_BACK_S, Timeline

SWITCHES = {
    ClockChange.ROS_TIME_ACTIVATED: 'use_sim_time was set to true',
    ClockChange.ROS_TIME_DEACTIVATED: 'use_sim_time was set to false',
}


class ClockJumps:
    """Listens to the clock of a node, which jumps with /clock while use_sim_time is true.

    Args:
        node: its clock.
        restart: see `Timeline`.

    Attributes:
        timeline: is notified of jumps of the clock; the stamps of images are to be added to it too.
    """

    def __init__(self, node: Node, restart: Callable[[int | None], None]) -> None:
        self._clock = node.get_clock()
        self.timeline = Timeline(restart, node.get_logger().warning)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-JUMP_BACK_S), on_clock_change=True)
        self._handle: JumpHandle = self._clock.create_jump_callback(threshold, post_callback=self._on_jump)

    def destroy(self) -> None:
        """Stop listening."""
        self._handle.unregister()

    def _on_jump(self, jump: TimeJump) -> None:
        if jump.clock_change in SWITCHES:
            self.timeline.jump(None, SWITCHES[jump.clock_change])
        else:
            back_s = -jump.delta.nanoseconds / 1e9
            self.timeline.jump(self._clock.now().nanoseconds, f'the clock has jumped back by {back_s:.1f} s')
