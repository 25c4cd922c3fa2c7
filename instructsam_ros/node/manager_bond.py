"""`ManagerBond`: the bond by which nav2's lifecycle manager notices that the node has ended.

After it has activated a node, nav2_lifecycle_manager expects heartbeats of a bond on the topic `bond` with the name of
the node as id, as `nav2_util::LifecycleNode::createBond` sends them, unless its parameter `bond_timeout` is 0.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rclpy.node import Node

TOPIC = 'bond'
NO_TIMEOUT_S = 1e8
"""Three years: the manager may pause for as long as it likes, as with nav2's own nodes."""


class ManagerBond:
    """Sends heartbeats while the node is active, if bondpy is installed.

    Args:
        node: subscribes, publishes and logs.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bond: Any = None

    def start(self, heartbeat_period_s: float) -> None:
        """Start to send heartbeats; does nothing if the period is 0 or bondpy is not installed."""
        if heartbeat_period_s <= 0:
            return
        if find_spec('bondpy') is None:
            self._node.get_logger().debug('no bond to a lifecycle manager: bondpy is not installed')
            return
        bond = import_module('bondpy.bondpy').Bond(self._node, TOPIC, self._node.get_name())
        bond.heartbeat_period = heartbeat_period_s
        bond.heartbeat_timeout = NO_TIMEOUT_S
        bond.start()
        self._bond = bond

    def stop(self) -> None:
        """Break the bond, so that the manager knows that the node is no longer active."""
        bond, self._bond = self._bond, None
        if bond is None:
            return
        if not self._node.context.ok():  # nothing can be published after a signal; the manager misses the heartbeats
            bond.is_shutdown = True
            return
        bond.shutdown()
        # bondpy leaves them in the lists of the node.
        self._node.destroy_subscription(bond.sub)
        self._node.destroy_publisher(bond.pub)
