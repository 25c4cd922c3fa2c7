"""Checks that what a command line gives to a node are parameters of this node, and names the nearest ones if not.

Imports no ROS.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from instructsam_model import ConfigError
from instructsam_ros.node.parameter_sources import ParameterSource

RCLPY_NAMES = ('use_sim_time', 'start_type_description_service')
"""Parameters that rclpy declares itself."""
RCLPY_PREFIX = 'qos_overrides.'
SIMILARITY = 0.8
"""Smallest ratio of `difflib` at which a name counts as a misspelled one: `checkpont`, but not `frame_rate`."""


def check_sources(
    sources: Sequence[ParameterSource], node: str, known: Collection[str], renamed: Mapping[str, str]
) -> list[str]:
    """Check that sources give a node only parameters that it has, and that the files are for it.

    A section such as `/**` may be shared with other nodes: there, only names that resemble a parameter of this node are
    errors. Elsewhere every unknown name is.

    Args:
        sources: of the command line.
        node: its full name.
        known: names of its parameters.
        renamed: new names of parameters of earlier versions.

    Returns:
        Warnings.

    Raises:
        ConfigError: as above; the message names the nearest parameter or node.
    """
    mine = [source for source in sources if source.matches(node)]
    warnings = []
    unknown = [(source, name) for source in mine for name in source.names if not _is_known(name, known)]
    for source, name in unknown:
        message = f'parameter {name} in {_describe(source)}: no such parameter'
        if not source.is_shared:
            raise ConfigError(f'{message}; {hint(name, known, renamed)}')
        if name in renamed or similar(name, known):
            advice = 'if it is for another node, put it in a section with the name of that node'
            raise ConfigError(f'{message}; {hint(name, known, renamed)} {advice[0].upper()}{advice[1:]}')
        warnings.append(f'{message} of {node}; ignored, since other nodes may have it')
    return warnings + _check_nodes(sources, mine, node)


def check_required(
    sources: Sequence[ParameterSource], node: str, known: Collection[str], required: Mapping[str, str]
) -> None:
    """Check that a node which gets its parameters from files gets those without a safe default.

    Args:
        sources: of the command line.
        node: its full name.
        known: names of its parameters.
        required: name of each such parameter, and what it can be set to.

    Raises:
        ConfigError: there are files with parameters of the node, and one of these is not given.
    """
    mine = [source for source in sources if source.matches(node)]
    given = {name for source in mine for name in source.names}
    files = [source.origin for source in mine if source.file is not None and not set(known).isdisjoint(source.names)]
    for name in required if files else ():
        if name not in given:
            found = ', '.join(dict.fromkeys(files))
            raise ConfigError(f'{name}: not set, although there are other parameters in {found}; {required[name]}')


def check_names(names: Iterable[str], known: Collection[str], renamed: Mapping[str, str]) -> None:
    """Check the names of parameters that a program gives to a node.

    Raises:
        ConfigError: a parameter does not exist; the message names similar ones.
    """
    for name in names:
        if not _is_known(name, known):
            raise ConfigError(f'parameter {name}: no such parameter; {hint(name, known, renamed)}')


def similar(name: str, known: Iterable[str], similarity: float = SIMILARITY) -> list[str]:
    """Return the known names that a name may be a mistake for, the most similar first."""
    names = [*known, *RCLPY_NAMES]
    if difflib.get_close_matches(name.partition('.')[0], [RCLPY_PREFIX], cutoff=similarity):
        return [f'{RCLPY_PREFIX}{name.partition(".")[2]}']
    # The usual mistake is to forget or to confuse the group, such as `engine` for `instructsam.engine`.
    last = name.rpartition('.')[2]
    by_last_part = [each for each in names if each.rpartition('.')[2] == last]
    close = difflib.get_close_matches(name, names, n=3, cutoff=similarity)
    if by_last_part or close:
        return list(dict.fromkeys([*by_last_part, *close]))[:3]
    # Or both at once: `enable` for `depth.enabled`, `Checkpoint`, `check_point`.
    plain = {_plain(each.rpartition('.')[2]): each for each in names}
    return [plain[each] for each in difflib.get_close_matches(_plain(last), plain, n=3, cutoff=similarity)]


def hint(name: str, known: Iterable[str], renamed: Mapping[str, str]) -> str:
    """Return what to use instead of an unknown parameter."""
    found = [renamed[name]] if name in renamed else similar(name, known) or similar(name, known, 0.6)
    return f'did you mean {" or ".join(found)}?' if found else 'config/perception.yaml lists all of them'


def _check_nodes(sources: Sequence[ParameterSource], mine: Sequence[ParameterSource], node: str) -> list[str]:
    """Check that every source is for this node; return warnings about files that are for others only."""
    warnings = []
    for source in sources:
        used = source.file is not None and any(each.file == source.file for each in mine)
        if source in mine or used:
            continue
        others = [each.node for each in sources if each.file == source.file] if source.file else [source.node]
        named = ', '.join(f"'{other}'" for other in dict.fromkeys(others))
        message = f"{source.origin}: sets parameters of {named}, and this node is '{node}'"
        name = node.rpartition('/')[2]
        misspelled = any(difflib.SequenceMatcher(None, _last(other), name).ratio() > SIMILARITY for other in others)
        if misspelled or source.file is None or not any(each.file for each in mine):
            raise ConfigError(f"{message}; write '{node}', or '/**/{name}' for any namespace")
        if message not in warnings:
            warnings.append(message)
    return warnings


def _is_known(name: str, known: Collection[str]) -> bool:
    return name in known or name in RCLPY_NAMES or name.startswith(RCLPY_PREFIX)


def _describe(source: ParameterSource) -> str:
    return f"section '{source.node}' of {source.origin}" if source.file else f'{source.origin} of the command line'


def _last(node: str) -> str:
    return node.rpartition('/')[2]


def _plain(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())
