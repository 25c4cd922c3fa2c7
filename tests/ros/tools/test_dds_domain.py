"""The DDS domain of tools and tests."""

from __future__ import annotations

import os
import socket

import pytest

pytest.importorskip('rclpy')

from instructsam_ros.tools import dds_domain
from instructsam_ros.tools.dds_domain import reserve_domain, use_own_domain


def test_domain_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    first, reservation = reserve_domain()
    os.close(reservation)
    monkeypatch.setattr(dds_domain.random, 'sample', lambda *_: [first])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as used:
        used.bind(('', 7400 + 250 * first))
        with pytest.raises(RuntimeError, match='all ROS domains'):
            reserve_domain()
    assert reserve_domain()[0] == first


def test_reserved_domain_is_not_chosen_before_it_has_a_participant(monkeypatch: pytest.MonkeyPatch) -> None:
    first, reservation = reserve_domain()
    monkeypatch.setattr(dds_domain.random, 'sample', lambda *_: [first])
    with pytest.raises(RuntimeError, match='all ROS domains'):
        reserve_domain()
    os.close(reservation)
    assert reserve_domain()[0] == first


def test_own_domain_is_set_in_the_environment_and_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', '0')
    use_own_domain()
    first = int(os.environ['ROS_DOMAIN_ID'])
    assert 1 <= first <= 101
    use_own_domain()
    assert int(os.environ['ROS_DOMAIN_ID']) != first
