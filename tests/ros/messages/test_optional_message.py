"""Which messages of optional packages are installed."""

from __future__ import annotations

import sys
from importlib import util
from types import ModuleType

import pytest
from std_msgs.msg import Header

from instructsam_ros.messages.optional_message import first_installed, has_message, load_message_type


def test_a_message_is_installed_if_its_package_has_it(monkeypatch: pytest.MonkeyPatch):
    for name in ('without_messages', 'other', 'other.msg'):
        module = ModuleType(name)
        module.__spec__ = util.spec_from_loader(name, None, is_package=True)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    names = ('std_msgs/msg/Header', 'std_msgs/msg/Nothing', 'no_such_package/msg/Header', 'without_messages/msg/Header')
    assert [has_message(name) for name in (*names, 'other/msg/Header')] == [True, False, False, False, False]
    assert first_installed(*names[1:], names[0]) == 'std_msgs/msg/Header'
    assert first_installed(*names[1:]) == 'std_msgs/msg/Nothing'
    assert load_message_type('std_msgs/msg/Header') is Header
