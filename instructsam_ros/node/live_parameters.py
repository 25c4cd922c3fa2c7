"""`LiveParameters`: the values of the parameters, and their changes while the node runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from instructsam_ros.distribution import add_parameter_callbacks
from instructsam_ros.node.parameter_declaration import change, check_change, declare
from instructsam_ros.node.parameters import RENAMED, REQUIRED, NodeParameters


class LiveParameters:
    """Declares all parameters on the node; after `start`, checks every change and hands it on.

    Args:
        node: declares the parameters.
        created_with: keyword arguments with which `Node` was initialized, see `declare`.

    Attributes:
        values: current values, a consistent set.

    Raises:
        ConfigError: a parameter is unknown or has a value that is not allowed.
    """

    def __init__(self, node: Node, created_with: Mapping[str, Any]) -> None:
        self.values = declare(node, NodeParameters(), created_with, renamed=RENAMED, required=REQUIRED)
        self._node = node
        self._is_unconfigured: Callable[[], bool] = lambda: True
        self._apply: Callable[[set[str]], None] = lambda names: None

    def start(self, is_unconfigured: Callable[[], bool], apply: Callable[[set[str]], None]) -> None:
        """Accept changes from now on.

        Args:
            is_unconfigured: whether parameters that are used for loading may be changed.
            apply: called after `values` have changed, with the names of the parameters.
        """
        self._is_unconfigured, self._apply = is_unconfigured, apply
        # Only now, because declaring a parameter would call these too.
        add_parameter_callbacks(self._node, self._check, self._change)

    def _check(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        return check_change(self.values, parameters, unconfigured=self._is_unconfigured())

    def _change(self, parameters: list[Parameter[Any]]) -> None:
        self.values = change(self.values, parameters, unconfigured=self._is_unconfigured())
        self._apply({parameter.name for parameter in parameters})
