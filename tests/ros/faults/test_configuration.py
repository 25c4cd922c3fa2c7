"""Mistakes in parameters and launch arguments; the messages are in docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_ros.node.launch_arguments import check_arguments, parse_parameters
from instructsam_ros.node.parameters import NodeParameters
from instructsam_ros.node.segmenter_node import main
from tests.support import ROOT
from tests.support.documented_faults import check_documented, logged
from tests.support.graph import Graph

SECTION = '{}:\n  ros__parameters:\n'
SEGMENTER, SHARED = SECTION.format('segmenter'), SECTION.format('/**')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (f'{SEGMENTER}    checkpont: x\n', []),
        (f'{SHARED}    checkpont: x\n', []),
        (None, ['-p', 'depth.enable:=true']),
        (f'{SECTION.format("segmentr")}    checkpoint: x\n', []),
        ('', []),
        ('segmenter:\n  checkpoint: x\n', []),
        (f'{SEGMENTER}    checkpoint:\n', []),
        (None, ['-p', 'depth.box_frame:=']),
        (f"{SEGMENTER}    checkpoint: ''\n", []),
        (f'{SEGMENTER}    depth: {{enabled: true}}\n', []),
        (None, ['-p', 'depth.enabled:="true"']),
        (None, ['-p', 'max_rate:=.nan']),
    ],
)
def test_parameters_that_end_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: list[str]
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path('params.yaml').write_text(text)
        words = ['--params-file', 'params.yaml', *words]
    with pytest.raises(SystemExit) as caught:
        main(['segmenter', '--ros-args', *words])
    check_documented(str(caught.value))


def test_words_without_ros_args():
    with pytest.raises(SystemExit) as caught:
        main(['segmenter', '--checkpoint', 'x'])
    check_documented(str(caught.value))


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(['segmenter', '--ros-args', '--params-file', 'params.yaml'])
    check_documented(str(caught.value))


def test_parameters_of_other_nodes(
    graph: Graph, log: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path('params.yaml').write_text(f'{SHARED}    checkpoint: x\n    serial_no: 1\n')
    graph.segmenter(autostart=False, cli_args=['--ros-args', '--params-file', 'params.yaml'])
    check_documented(logged(graph, log, 'serial_no'))


def test_launch_arguments():
    with pytest.raises(ConfigError) as caught:
        check_arguments(['checkpont'], ['checkpoint', 'image'], 'perception.launch.py')
    check_documented(str(caught.value))
    with pytest.raises(ConfigError) as caught:
        parse_parameters(NodeParameters(), {'depth.enabled': 'maybe'})
    check_documented(str(caught.value))


def test_rviz():
    """tests/ros/test_launch.py raises it, where launch is installed."""
    message = (
        'rviz: the package rviz2 is not installed; install it (apt install ros-$ROS_DISTRO-rviz2) or leave rviz out'
    )
    assert message in (ROOT / 'launch' / 'demo.launch.py').read_text()
    check_documented(message)
