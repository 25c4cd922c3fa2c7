"""What the packages log is forwarded to the logger of the newest node."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from instructsam_ros.node import logging_bridge
from instructsam_ros.node.logging_bridge import forward_logs


class Recorder:
    """In place of a node's logger."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, severity: str) -> Any:
        return lambda text: self.lines.append((severity, text))


def test_records_go_to_the_newest_logger_with_their_severity() -> None:
    first, second = Recorder(), Recorder()
    forward_logs(first)
    forward_logs(second)
    for name in ('instructsam_model.test', 'instructsam_ros.test'):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, '%s at %d', name, level)
    assert first.lines == []
    expected = [(name, level) for name in ('model', 'ros') for level in (20, 30, 40)]
    severities = {20: 'info', 30: 'warning', 40: 'error'}
    assert second.lines == [(severities[level], f'instructsam_{name}.test at {level}') for name, level in expected]


def test_warning_about_the_same_thing_is_not_repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, log = Recorder(), logging.getLogger('instructsam_model.test')
    forward_logs(recorder)
    for server, wait_s in (('one', 0.5), ('one', 0.9), ('two', 0.5)):
        log.warning('%s is gone; next attempt in %.1f s', server, wait_s)
    assert [text for _, text in recorder.lines] == [f'{name} is gone; next attempt in 0.5 s' for name in ('one', 'two')]
    monkeypatch.setattr(logging_bridge, 'REPEAT_PERIOD_S', 0.0)
    log.warning('%s is gone; next attempt in %.1f s', 'one', 0.5)
    log.warning('%s is gone; next attempt in %.1f s', 'one', 0.9)
    assert len(recorder.lines) == 4
