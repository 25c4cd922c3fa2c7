"""A DDS domain that no other process on this machine uses, for tools and tests."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from instructsam_ros.node.fastdds import transport_environment

DOMAIN_IDS = range(1, 102)
"""Domains whose ports are below the range that Linux assigns to outgoing connections."""

_reservations: list[int] = []
"""The lock file of the domain that this process uses; it is unlocked when the process ends."""


def use_own_domain() -> None:
    """Put this process and its children on an unused DDS domain, with a shared-memory segment large enough for images.

    Must be called before `rclpy.init`. Another call chooses another domain and ends the previous reservation.

    Raises:
        RuntimeError: all domains are in use.
    """
    domain_id, reservation = reserve_domain()
    for previous in _reservations:
        os.close(previous)
    _reservations[:] = [reservation]
    os.environ.update(transport_environment(os.environ), ROS_DOMAIN_ID=str(domain_id))


def reserve_domain() -> tuple[int, int]:
    """Return the id of an unused DDS domain, and the descriptor of a locked file, which reserves it until it is closed.

    A domain is seen to be in use only after its first participant has been created. Without the lock, two processes
    that start at the same time could choose the same domain.

    Raises:
        RuntimeError: all domains are in use.
    """
    for domain_id in random.sample(DOMAIN_IDS, len(DOMAIN_IDS)):
        if not is_in_use(domain_id) and (reservation := lock(domain_id)) is not None:
            return domain_id, reservation
    raise RuntimeError('all ROS domains from 1 to 101 are in use on this machine')


def is_in_use(domain_id: int) -> bool:
    """Return whether a participant of this domain listens on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', 7400 + 250 * domain_id))  # discovery port, RTPS 2.5 section 9.6.2.3
        except OSError:
            return True
    return False


def lock(domain_id: int) -> int | None:
    """Return the descriptor of the locked file of a domain, or None if another process has locked it."""
    # One file for each user: that of another user cannot be opened.
    file = Path(tempfile.gettempdir(), f'instructsam_ros-{os.getuid()}-domain-{domain_id}.lock')
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
