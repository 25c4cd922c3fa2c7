"""Which profile Fast DDS is given."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from instructsam_ros.node import fastdds
from instructsam_ros.node.fastdds import shared_memory_profile, transport_environment
from tests.support import ROOT

PROFILE = ROOT / 'config' / 'fastdds_shm.xml'


def test_shared_memory_segment_holds_several_images():
    tree = ElementTree.parse(shared_memory_profile())
    [size] = tree.iter('{http://www.eprosima.com}segment_size')
    assert int(size.text) >= 4 * 1920 * 1080 * 3


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({}, ['FASTDDS_DEFAULT_PROFILES_FILE']),
        ({'ROS_DISTRO': 'kilted'}, ['FASTDDS_DEFAULT_PROFILES_FILE']),
        ({'ROS_DISTRO': 'jazzy'}, ['FASTRTPS_DEFAULT_PROFILES_FILE']),
        ({'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, []),
        ({'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}, []),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, []),
    ],
    ids=str,
)
def test_transport_environment_respects_the_user(environment: dict[str, str], expected: list[str]):
    added = transport_environment(environment)
    assert list(added) == expected
    assert all(Path(value).is_file() for value in added.values())


def test_profile_is_found_in_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    share = tmp_path / 'prefix' / 'share' / 'instructsam_ros' / 'config'
    share.mkdir(parents=True)
    monkeypatch.setattr(
        fastdds, '__file__', str(tmp_path / 'site-packages' / 'instructsam_ros' / 'node' / 'fastdds.py')
    )
    monkeypatch.setattr(fastdds.sys, 'prefix', str(tmp_path))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path / "prefix"}')
    with pytest.raises(FileNotFoundError, match='prefix/share/instructsam_ros'):
        shared_memory_profile()
    (share / 'fastdds_shm.xml').write_bytes(PROFILE.read_bytes())
    assert shared_memory_profile() == share / 'fastdds_shm.xml'
