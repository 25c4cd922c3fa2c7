"""Checks that the time limits of the node leave its back end the time that this one allows itself. Imports no ROS."""

from __future__ import annotations

from instructsam_model import ConfigError
from instructsam_ros.node.parameters import NodeParameters


def check_time_limits(parameters: NodeParameters, backend: str) -> str:
    """Compare the limits of the node with `max_seconds`, the time limit per request of a back end that takes long.

    Args:
        parameters: of the node.
        backend: name of the back end that is loaded.

    Returns:
        A warning if requests to ~/segment may end earlier; empty if not, or if the back end has no such option.

    Raises:
        ConfigError: a slow request would count as a stuck one, after which the model is loaded again.
    """
    options = parameters.backend_options.get(backend)
    longest_s: float | None = getattr(options, 'max_seconds', None)
    if longest_s is None:
        return ''
    name, found = f'{backend}.max_seconds', f'{longest_s:g} s' if longest_s else '0, which is no limit'
    stuck_s, timeout_s = parameters.limits.stuck_timeout_s, parameters.request_timeout
    if stuck_s and not 0 < longest_s < stuck_s:
        raise ConfigError(
            f'{name}: expected less than stuck_timeout, {stuck_s:g} s, after which a request counts as stuck; got '
            f'{found}; lower {name} or raise stuck_timeout (0: no limit)'
        )
    if 0 < longest_s <= timeout_s:
        return ''
    return (
        f'request_timeout: requests to ~/segment end after {timeout_s:g} s, but {name} is {found}; raise '
        f'request_timeout, or lower {name}, if the model needs more time; ~/instruction and ~/track wait for it'
    )
