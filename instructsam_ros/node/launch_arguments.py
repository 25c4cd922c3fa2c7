"""Arguments of the launch files: checked and converted to parameters and remappings of the node. Imports no launch.

Descriptions are those of the parameters, so that `--show-args`, `ros2 param describe` and config/perception.yaml agree.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rclpy.expand_topic_name import expand_topic_name
from rclpy.parameter import Parameter

from instructsam_model import ConfigError
from instructsam_ros.node.parameter_declaration import change, declarations
from instructsam_ros.node.parameters import check_cameras

NOT_GIVEN = '<params_file>'
"""Default of arguments for parameters: the value in params_file. Not an empty text, which is a value of its own."""
EMPTY = ('none', "''", '""')
"""Values that mean an empty text, as `ros2 launch` does not accept `name:=`."""
LAUNCH_NAMES = (
    'emulate_tty', 'global_params', 'launch-prefix', 'launch-prefix-filter', 'ros_namespace', 'ros_remaps',
    'sigkill_timeout', 'sigterm_timeout',
)  # fmt: skip
"""Launch configurations of launch and launch_ros themselves."""
TOPICS = {'image': 'image', 'depth': 'depth/image', 'camera_info': 'camera_info'}
"""Argument: the topic in the node that it renames, in every transport."""
TRANSPORTS = ('', '/compressed', '/compressedDepth')
SIMILARITY = 0.75
TRUE, FALSE = ('true', 'yes', 'on', '1'), ('false', 'no', 'off', '0')
CAMERAS_HELP = (
    'Names of several cameras that share the model, such as left,right; or names with their topics, such as '
    '"{left: {image: /cam1/image_raw, depth: /cam1/depth, camera_info: /cam1/camera_info}, right: /cam2/image_raw}" '
    '(a topic alone is that of the images). Topics that are not given are <name>/image, <name>/depth/image and '
    '<name>/camera_info. none: one camera without a name.'
)


def describe(defaults: Any, name: str) -> str:
    """Return the description of a parameter of `defaults` with its choices, and how to type an empty text."""
    [found] = [each for each in declarations(defaults) if each.name == name]
    choices = f' One of: {", ".join(found.choices)}.' if found.choices else ''
    return found.description.replace('Empty:', 'Empty (typed none):') + choices


def is_top_level(file: str, words: Sequence[str]) -> bool:
    """Return whether `ros2 launch` was called with a launch file, by its name, and not with one that includes it."""
    return any(Path(word).name == file for word in words)


def unknown_arguments(given: Iterable[str], declared: Collection[str]) -> dict[str, list[str]]:
    """Return the launch configurations that no argument is declared for, each with similar arguments."""
    unknown = [name for name in given if name not in declared and name not in LAUNCH_NAMES]
    return {name: difflib.get_close_matches(name, declared, cutoff=SIMILARITY) for name in unknown}


def check_arguments(given: Iterable[str], declared: Collection[str], file: str) -> None:
    """Check the names of the arguments on the command line of `ros2 launch`, which ignores unknown ones.

    Raises:
        ConfigError: a launch file has no such argument; the message names similar ones.
    """
    for name, close in unknown_arguments(given, declared).items():
        hint = f'did you mean {" or ".join(close)}?' if close else 'ros2 launch with --show-args lists all of them'
        raise ConfigError(f'{name}: no argument of {file}; {hint}')


def parse_flag(name: str, text: str) -> bool:
    """Return the value of true or false, as YAML and users of ROS write them: True, yes, 1.

    Raises:
        ConfigError: it is something else.
    """
    if text.strip().lower() not in TRUE + FALSE:
        raise ConfigError(f'{name}: expected true or false, got {text!r}')
    return text.strip().lower() in TRUE


def parse_number(name: str, text: str, kind: type[int | float] = float) -> int | float:
    """Return the value of a number that is finite and not negative.

    Raises:
        ConfigError: it is something else.
    """
    try:
        number = kind(text)
    except ValueError:
        number = -1
    if not 0 <= number < float('inf'):
        raise ConfigError(f'{name}: expected {"an integer" if kind is int else "a number"} of at least 0, got {text!r}')
    return number


def parse_parameters(defaults: Any, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of parameters that arguments set.

    Args:
        defaults: the parameters.
        given: text of each argument by the name of its parameter; `NOT_GIVEN` is left out.

    Raises:
        ConfigError: a value is not allowed.
    """
    kinds = {each.name: type(each.default) for each in declarations(defaults)}
    values = {name: _parse(name, text, kinds[name]) for name, text in given.items() if text != NOT_GIVEN}
    # Back ends may be installed in the environment of the node only.
    checked = [Parameter(name, value=value) for name, value in values.items() if name != 'backend']
    change(defaults, checked, unconfigured=True)
    return values


def _parse(name: str, text: str, kind: type[Any]) -> Any:
    if kind is bool:
        return parse_flag(name, text)
    if kind in (int, float):
        return parse_number(name, text, kind)
    return '' if text in EMPTY else text


def parse_cameras(text: str) -> dict[str, dict[str, str]]:
    """Return the topics of each camera by its name: a topic for each key of `TOPICS` that is given.

    Raises:
        ConfigError: the text is neither names nor a YAML mapping of names to topics.
    """
    try:
        content = yaml.safe_load('' if text in EMPTY else text)
    except yaml.YAMLError as error:
        raise ConfigError(f'cameras: not valid YAML: {" ".join(str(error).split())}. {CAMERAS_HELP}') from error
    if isinstance(content, str):
        content = [name.strip() for name in content.split(',')]
    if content is None or isinstance(content, list):
        content = {str(name): {} for name in content or () if name != ''}
    if not isinstance(content, Mapping):
        raise ConfigError(f'cameras: expected names or a mapping, got {text!r}. {CAMERAS_HELP}')
    cameras = {str(name): {'image': topics} if isinstance(topics, str) else topics for name, topics in content.items()}
    for name, topics in cameras.items():
        if not isinstance(topics, Mapping) or not all(isinstance(topic, str) and topic for topic in topics.values()):
            raise ConfigError(f'cameras: expected topics for {name}, got {topics!r}. {CAMERAS_HELP}')
        if unknown := sorted(map(str, set(topics) - set(TOPICS))):
            raise ConfigError(f"cameras: expected {', '.join(TOPICS)} for {name}, got '{unknown[0]}'")
    check_cameras(tuple(cameras))
    return {name: dict(topics) for name, topics in cameras.items()}


def remap_topics(cameras: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Return names of topics in the node, each with the topic of the camera.

    Args:
        cameras: topics of each camera by its name; a single camera may have the name ''.
    """
    for name, topics in cameras.items():
        base = f'{name}/' if name else ''
        yield from ((f'{base}{TOPICS[argument]}', topic) for argument, topic in topics.items())


def reliability_overrides(
    cameras: Mapping[str, Mapping[str, str]], reliability: str, node_name: str, namespace: str
) -> dict[str, str]:
    """Return the QoS overrides of the subscriptions to images and depth images of cameras.

    Args:
        cameras: as of `remap_topics`; the names alone are enough.
        reliability: `reliable` or `best_effort`.
        node_name: of the node.
        namespace: of the node, absolute.
    """
    renamed = dict(remap_topics(cameras))
    topics = [f'{name}/{TOPICS[each]}' if name else TOPICS[each] for name in cameras for each in ('image', 'depth')]
    # rclpy names an override by the topic after remapping.
    full_names = [expand_topic_name(renamed.get(topic, topic), node_name, namespace) for topic in topics]
    return {
        f'qos_overrides.{topic}{transport}.subscription.reliability': reliability
        for topic in full_names
        for transport in TRANSPORTS
    }
