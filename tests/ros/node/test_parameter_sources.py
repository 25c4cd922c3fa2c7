"""Parameters that rcl would ignore are found on the command line and in files of parameters.

Covers node/parameter_checks.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsam_model import ConfigError
from instructsam_ros.node.parameter_checks import check_required, check_sources, similar
from instructsam_ros.node.parameter_sources import ParameterSource, check_words, read_file, read_sources
from instructsam_ros.tools.node_process import NodeProcess, ProcessEndedError
from tests.support.graph import Graph

KNOWN = ('checkpoint', 'depth.enabled', 'depth.min', 'tracking.enabled', 'instruction', 'max_rate', 'cameras')
RENAMED = {'weights': 'checkpoint'}
PREFIX = '/**:\n  ros__parameters:\n'


def check(file: Path, text: str, *words: str, node: str = '/segmenter') -> list[str]:
    """Warnings about a file of parameters and further words of a command line."""
    file.write_text(text)
    sources = read_sources(['segmenter', '--ros-args', '--params-file', str(file), *words])
    return check_sources(sources, node, KNOWN, RENAMED)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / 'params.yaml'


@pytest.mark.parametrize(
    ('pattern', 'node', 'expected'),
    [
        # As rcl 10.1 in Kilted does, tried with a node.
        ('segmenter', '/segmenter', True),
        ('/segmenter', '/segmenter', True),
        ('segmenter', '/robot/segmenter', False),
        ('/**', '/robot/segmenter', True),
        ('**', '/segmenter', True),
        ('/*', '/segmenter', True),
        ('/*', '/robot/segmenter', False),
        ('/**/segmenter', '/segmenter', True),
        ('/**/segmenter', '/a/b/segmenter', True),
        ('/*/segmenter', '/segmenter', False),
        ('/*/segmenter', '/robot/segmenter', True),
        ('/robot/**', '/segmenter', False),
        ('robot/segmenter', '/robot/segmenter', True),
        ('/segmenter', '/segmenters', False),
    ],
)
def test_patterns_match_as_in_rcl(pattern: str, node: str, expected: bool):
    assert ParameterSource('-p', pattern, ()).matches(node) == expected


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('checkpont', 'checkpoint'),
        ('check_point', 'checkpoint'),
        ('Checkpoint', 'checkpoint'),
        ('ros__parameters.checkpoint', 'checkpoint'),
        ('depth.enable', 'depth.enabled'),
        ('depth_enabled', 'depth.enabled'),
        ('min', 'depth.min'),
        ('camera', 'cameras'),
        ('use_sim_tme', 'use_sim_time'),
    ],
)
def test_the_nearest_parameter_is_found(name: str, expected: str):
    assert similar(name, KNOWN)[0] == expected


@pytest.mark.parametrize('name', ['palette', 'frame_rate', 'robot_description', 'serial_no', 'tf_timeout'])
def test_parameters_of_other_nodes_resemble_none(name: str):
    assert similar(name, (*KNOWN, 'stuck_timeout')) == []


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', 'the file is empty; expected a node, ros__parameters and parameters'),
        ('# checkpoint: x\n', 'the file is empty'),
        ('- a\n', 'expected a node, ros__parameters and parameters, such as'),
        ('a: [1\n', 'not valid YAML: while parsing a flow sequence'),
        ('/**:\n  ros__parameters: {}\n', 'there are no parameters in the file'),
        ('/**:\n  ros__parameters:\n', 'there are no parameters in the file'),
        ('checkpoint: x\n', "got 'checkpoint' outside of a node"),
        ('segmenter:\n  checkpoint: x\n', "got 'checkpoint' in /segmenter"),
        ('/**:\n  ros_parameters:\n    checkpoint: x\n', "got 'checkpoint' in /**/ros_parameters"),
        ('ros__parameters:\n  checkpoint: x\n', "got 'ros__parameters' outside of a node"),
        (f'{PREFIX}    checkpoint:\n', "checkpoint has no value; write '' for an empty text, or remove the line"),
        (f'{PREFIX}    depth: {{min: ~}}\n', "depth.min has no value; write ''"),
    ],
)
def test_a_file_that_gives_nothing_is_an_error(file: Path, text: str, said: str):
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file(file)
    assert str(caught.value).startswith(f'{file}: ')
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'said'), [('missing.yaml', 'No such file'), ('', 'Is a directory'), ('binary', 'not a text file')]
)
def test_a_file_must_exist(tmp_path: Path, name: str, said: str):
    (tmp_path / 'binary').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfigError, match=said):
        read_sources(['--ros-args', '--params-file', str(tmp_path / name)])


def test_names_and_nodes_are_read(file: Path):
    file.write_text('robot:\n  segmenter:\n    ros__parameters:\n      depth: {min: 1.0}\n      depth.enabled: true\n')
    words = [
        '-x',
        '-p',
        'no',
        '--ros-args',
        '--params-file',
        str(file),
        '-p',
        'a:=1',
        '--param',
        'eye:b.c:=2',
        '--',
        '-p',
    ]
    found = [(source.node, source.names) for source in read_sources(words)]
    assert found == [('/robot/segmenter', ('depth.min', 'depth.enabled')), ('/**', ('a',)), ('eye', ('b.c',))]


def test_words_that_are_no_ros_arguments_are_errors():
    check_words(['segmenter'])
    check_words(['segmenter', '--ros-args', '-p', 'a:=1', '--log-level', 'info', '--'])
    for words in (['--checkpoint', 'x'], ['checkpoint:=x'], ['--ros-args', '-p', 'a:=1', '--', 'checkpoint:=x']):
        with pytest.raises(ConfigError, match=r'unexpected argument .*; parameters are given as --ros-args -p NAME'):
            check_words(['segmenter', *words])


def test_lists_as_launch_ros_writes_them_are_read(file: Path):
    file.write_text(
        '/eye:\n  ros__parameters:\n    cameras: !!python/tuple\n    - left\n    - right\n    depth.min: 0.1\n'
    )
    assert [source.names for source in read_file(file)] == [('cameras', 'depth.min')]


def test_an_empty_value_of_the_command_line_says_how_to_type_one():
    with pytest.raises(ConfigError) as caught:
        read_sources(['--ros-args', '-p', 'depth.box_frame:='])
    assert str(caught.value).endswith("""an empty text is typed -p "depth.box_frame:=''\"""")


@pytest.mark.parametrize(
    ('section', 'name', 'said'),
    [
        ('segmenter', 'checkpont', "in section '/segmenter' of .*: no such parameter; did you mean checkpoint"),
        ('segmenter', 'palette', 'no such parameter; config/perception.yaml lists all of them'),
        ('/**/segmenter', 'palette', 'no such parameter; config/perception.yaml lists all of them'),
        ('/**', 'checkpont', 'did you mean checkpoint. If it is for another node, put it in a section with the name'),
        ('/**', 'weights', 'did you mean checkpoint'),
        ('/**', 'enabled', 'did you mean depth.enabled or tracking.enabled'),
    ],
)
def test_unknown_parameters_of_a_file_are_errors(file: Path, section: str, name: str, said: str):
    with pytest.raises(ConfigError, match=said):
        check(file, f'{section}:\n  ros__parameters:\n    checkpoint: x\n    {name}: 1\n')


def test_a_shared_section_may_have_parameters_of_other_nodes(file: Path):
    [warning] = check(file, f'{PREFIX}    checkpoint: x\n    serial_no: 1\n    use_sim_time: true\n')
    assert warning.startswith('parameter serial_no in section ')
    assert warning.endswith('no such parameter of /segmenter; ignored, since other nodes may have it')


def test_unknown_parameters_of_the_command_line_are_errors():
    with pytest.raises(ConfigError, match='parameter palette in -p of the command line: no such parameter'):
        check_sources(read_sources(['--ros-args', '-p', 'palette:=1']), '/segmenter', KNOWN, {})


@pytest.mark.parametrize(
    ('section', 'node', 'said'),
    [
        ('segmentr', '/segmenter', "sets parameters of '/segmentr', and this node is '/segmenter'; write '/segmenter'"),
        ('segmenter', '/robot/segmenter', "write '/robot/segmenter', or '/\\*\\*/segmenter' for any namespace"),
        ('/robot/segmenter', '/segmenter', "sets parameters of '/robot/segmenter', and this node is '/segmenter'"),
        ('camera', '/segmenter', "sets parameters of '/camera', and this node is '/segmenter'"),
    ],
)
def test_a_file_for_no_node_or_another_is_an_error(file: Path, section: str, node: str, said: str):
    text = f'{section}:\n  ros__parameters:\n    checkpoint: x\n'
    with pytest.raises(ConfigError, match=said):
        check(file, text, '-p', 'max_rate:=1.0', node=node)
    assert check(file, f'{text}{node}:\n  ros__parameters:\n    checkpoint: x\n', node=node) == []


def test_a_second_file_for_another_node_is_a_warning(file: Path, tmp_path: Path):
    other = tmp_path / 'other.yaml'
    other.write_text('camera:\n  ros__parameters:\n    exposure: 1\n')
    warnings = check(file, f'{PREFIX}    checkpoint: x\n', '--params-file', str(other))
    assert warnings == [f"{other}: sets parameters of '/camera', and this node is '/segmenter'"]


def test_a_parameter_for_another_node_on_the_command_line_is_an_error():
    with pytest.raises(ConfigError, match="-p: sets parameters of 'segmentr', and this node is '/segmenter'"):
        check_sources(read_sources(['--ros-args', '-p', 'segmentr:checkpoint:=x']), '/segmenter', KNOWN, {})


@pytest.mark.parametrize(
    ('text', 'words', 'missing'),
    [
        (f'{PREFIX}    depth: {{enabled: true}}\n', [], True),
        (f'{PREFIX}    depth: {{enabled: true}}\n', ['-p', 'checkpoint:=x'], False),
        (f'{PREFIX}    checkpoint: embedded\n', [], False),
        (f'{PREFIX}    use_sim_time: true\n', [], False),
    ],
)
def test_a_file_of_parameters_must_give_the_checkpoint(file: Path, text: str, words: list[str], missing: bool):
    file.write_text(text)
    sources = read_sources(['--ros-args', '--params-file', str(file), *words])
    if missing:
        with pytest.raises(ConfigError, match=r'checkpoint: not set, although .* in .*params.yaml; set it'):
            check_required(sources, '/segmenter', KNOWN, {'checkpoint': 'set it'})
    else:
        check_required(sources, '/segmenter', KNOWN, {'checkpoint': 'set it'})


def test_the_bare_node_needs_no_checkpoint():
    check_required([], '/segmenter', KNOWN, {'checkpoint': 'set it'})
    check_required(read_sources(['--ros-args', '-p', 'max_rate:=5']), '/segmenter', KNOWN, {'checkpoint': 'set it'})


@pytest.mark.parametrize(
    ('module', 'text', 'said'),
    [
        ('node.segmenter_node', 'segmenter:\n  ros__parameters:\n    checkpont: x\n', 'did you mean checkpoint?'),
        ('sim.image_player', f'{PREFIX}    pth: x\n', 'parameter pth in .*: no such parameter; did you mean path?'),
        ('sim.sim_camera', f'{PREFIX}    sed: 1\n', 'parameter sed in .*: no such parameter; did you mean seed?'),
    ],
)
def test_every_node_reports_them_in_one_line(file: Path, module: str, text: str, said: str, graph: Graph):
    file.write_text(text)
    ended = pytest.raises(ProcessEndedError, match=rf'ended with status 1.*\n+not started: .*{said}')
    arguments = ('-m', f'instructsam_ros.{module}', '--ros-args', '--params-file', str(file))
    with NodeProcess(*arguments) as process, ended as caught:
        graph.wait_for(process.check, 'the process to end', timeout_s=60, period_s=0.1)
    assert 'Traceback' not in str(caught.value)


def test_rcl_reads_empty_lists_of_files_and_of_the_command_line(file: Path, graph: Graph):
    """They have no type, and rclpy raised ValueError."""
    file.write_text(f'{PREFIX}    checkpoint: x\n    cameras: []\n    instructions: []\n    max_rate: 5\n')
    words = ['--ros-args', '--params-file', str(file), '-p', 'warmup_sizes:=[]']
    node = graph.segmenter(autostart=False, cli_args=words)
    values = {name: node.get_parameter(name).value for name in ('cameras', 'instructions', 'warmup_sizes', 'max_rate')}
    assert values == {'cameras': [''], 'instructions': [''], 'warmup_sizes': [''], 'max_rate': 5.0}
    assert node.parameters.camera_names == ('',)
