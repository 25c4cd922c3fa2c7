"""Every command of README.md: those that can run here do, with small files; of others, names and arguments are checked.

The commands of `ros2 launch` run in tests/ros/test_launch.py, where launch_ros is installed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from tests.support import GOLDEN, ROOT
from tests.support.command_lines import COMMANDS, commands, readme_commands, unknown_flags

LINES = readme_commands()
NOT_HERE = {
    'cd ~/ws': 'needs a ROS workspace',
    'rosdep install': 'needs ROS and the network',
    'python3 -m venv': 'needs a ROS workspace',
    'pip install': 'needs the network',
    'colcon build': 'needs a ROS workspace',
    'torchrun --nproc_per_node 8': 'needs eight GPUs',
}
"""First words of commands that cannot run in a test, and why."""


def run_make(line: str, folder: Path) -> None:
    # Without running anything: the targets install 6 GB, or take minutes.
    command = [*shlex.split(line), '--dry-run', '--directory', str(ROOT)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def run_segment(line: str, folder: Path) -> None:
    pytest.importorskip('torch')
    from instructsam_model.cli import segment

    names = {
        'kitchen.jpg': str(GOLDEN / 'tabletop' / '054.png'),
        'CircleRadon/InstructSAM-2B': str(GOLDEN / 'checkpoint'),
        'overlay.png': str(folder / 'overlay.png'),
    }
    arguments = [names.get(word, word) for word in shlex.split(line)[1:]]
    assert segment.main([*arguments, '--device', 'cpu']) == 0
    # Two instructions: each has an overlay.
    assert sorted(file.name for file in folder.iterdir()) == ['overlay-1.png', 'overlay-2.png']


def check_flags(line: str, folder: Path) -> None:
    [(module, arguments)] = commands(line)
    assert module in COMMANDS.values()
    assert unknown_flags(module, arguments) == set()
    assert callable(import_module(module).main)
    files = [word for word in shlex.split(arguments) if word.startswith('training/')]
    assert all((ROOT / file).is_file() for file in files)


def check_launch(line: str, folder: Path) -> None:
    """The arguments are among those of the launch file; tests/ros/test_launch.py runs it."""
    _, _, package, name, *arguments = shlex.split(line)
    assert package == 'instructsam_ros'
    source = (ROOT / 'launch' / name).read_text()
    assert [word for word in arguments if f"'{word.partition(':=')[0]}'" not in source] == []


def check_publication(line: str, folder: Path) -> None:
    std_msgs = pytest.importorskip('std_msgs.msg', reason='ROS is not installed')
    *_, topic, kind, content = shlex.split(line)
    assert (topic, kind) == ('/segmenter/instruction', 'std_msgs/msg/String')
    assert std_msgs.String(**yaml.safe_load(content)).data


def check_echo(line: str, folder: Path) -> None:
    topic = shlex.split(line)[-1]
    assert f'    {topic} [' in (ROOT / 'docs' / 'interfaces.md').read_text()


def check_parameter(line: str, folder: Path) -> None:
    pytest.importorskip('rclpy', reason='ROS is not installed')
    from rclpy.parameter import Parameter

    from instructsam_ros.node.parameter_declaration import change
    from instructsam_ros.sim.sim_camera import CameraParameters

    *_, node, name, text = shlex.split(line)
    assert node == '/sim_camera'
    changed = change(CameraParameters(), [Parameter(name, value=yaml.safe_load(text))])
    assert str(getattr(changed, name)) == text


def check_executable(line: str, folder: Path) -> None:
    _, _, package, name, *arguments = shlex.split(line)
    assert package == 'instructsam_ros'
    module = re.findall(r'from ([\w.]+) import main', (ROOT / 'scripts' / name).read_text())[0]
    assert unknown_flags(module, ' '.join(arguments)) == set()


RUN: dict[str, Callable[[str, Path], None]] = {
    'make ': run_make,
    'instructsam-segment ': run_segment,
    'instructsam-': check_flags,
    'ros2 launch ': check_launch,
    'ros2 topic pub ': check_publication,
    'ros2 topic echo ': check_echo,
    'ros2 param set ': check_parameter,
    'ros2 run ': check_executable,
}
"""First words of a command, and what a test does with it; the first that fits."""


@pytest.mark.parametrize('line', LINES)
def test_commands_of_the_readme_run(line: str, tmp_path: Path) -> None:
    if reason := next((reason for words, reason in NOT_HERE.items() if line.startswith(words)), ''):
        pytest.skip(reason)
    if line.startswith('make ') and shutil.which('make') is None:
        pytest.skip('make is not installed')
    run = next((run for words, run in RUN.items() if line.startswith(words)), None)
    assert run is not None, f'no test runs {line}; add one, or the reason to NOT_HERE'
    run(line, tmp_path)


def test_the_commands_are_found() -> None:
    assert len(LINES) > 15
    assert sum(line.startswith('ros2 launch') for line in LINES) == 2


@pytest.mark.parametrize('page', ['README.md', *(f'docs/{name}.md' for name in ('grasping', 'transcript', 'security'))])
def test_launch_arguments_and_executables_of_pages_exist(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text().replace('\\\n', ' ')
    for line in re.findall(r'^ *(?:\$ )?(ros2 launch instructsam_ros [^#\n]*)', text, re.MULTILINE):
        check_launch(re.sub(r' (\.\.\.|--show-args)', ' ', line), tmp_path)
    for name in re.findall(r'ros2 run instructsam_ros (\w+)', text):
        assert (ROOT / 'scripts' / name).is_file()
