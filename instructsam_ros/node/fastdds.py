"""The profile of Fast DDS with a shared-memory segment for images, and the variable that selects it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
VARIABLE_OF_FAST_DDS_2 = 'FASTRTPS_DEFAULT_PROFILES_FILE'


def transport_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that select the profile; none if the user has configured the transports of Fast DDS."""
    if any(name in environment for name in (VARIABLE, VARIABLE_OF_FAST_DDS_2, 'FASTDDS_BUILTIN_TRANSPORTS')):
        return {}
    # Not both, because Fast DDS 3 logs a warning about the old name in every process.
    name = VARIABLE_OF_FAST_DDS_2 if environment.get('ROS_DISTRO') == 'jazzy' else VARIABLE
    return {name: str(shared_memory_profile())}


def shared_memory_profile() -> Path:
    """Return the file config/fastdds_shm.xml of this checkout or installation.

    Raises:
        FileNotFoundError: there is no such file.
    """
    # In this order: the checkout, workspaces (overlays first), the prefix of pip.
    prefixes = [*filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)), sys.prefix]
    shares = [Path(__file__).resolve().parents[2], *(Path(prefix, 'share/instructsam_ros') for prefix in prefixes)]
    for share in shares:
        if (profile := share / 'config' / 'fastdds_shm.xml').is_file():
            return profile
    raise FileNotFoundError(
        f'config/fastdds_shm.xml: expected in one of {", ".join(map(str, shares))}; install the package again'
    )
