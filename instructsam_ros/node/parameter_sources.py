"""`ParameterSource`: the parameters that one part of a command line gives, with the nodes that it gives them to.

rcl ignores without a message: parameters that a node does not declare, and sections of a file that name another node.
This module reads the command line and its files once more, for `parameter_checks`; values are those of rcl. It imports
no ROS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from instructsam_model import ConfigError

PARAMETERS_KEY = 'ros__parameters'


class _Loader(yaml.SafeLoader):
    """Ignores unknown tags, as rcl does: launch_ros writes lists as `!!python/tuple`."""

    def construct_untagged(self, node: yaml.Node) -> Any:
        """Return the value of a node without regard to its tag."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)


_Loader.add_constructor(None, _Loader.construct_untagged)


@dataclass(frozen=True)
class ParameterSource:
    """Parameters that a section of a file, or one `-p` of the command line, gives to nodes.

    Attributes:
        origin: for messages: the name of the file, or `-p`.
        node: pattern of the full names of the nodes, such as `/robot/segmenter`, `/**` or `/*/segmenter`.
        names: of the parameters, with dots between groups.
        file: the file; None for `-p`.
    """

    origin: str
    node: str
    names: tuple[str, ...]
    file: Path | None = None

    @property
    def is_shared(self) -> bool:
        """Whether nodes of any name have this section, so that it may have parameters of other nodes."""
        return self.file is not None and self.node.endswith('*')

    def matches(self, node: str) -> bool:
        """Return whether rcl gives the parameters to a node, by its full name; `*` is one name and `**` any number."""
        pattern = ''.join(
            r'(/\w+)*' if word == '**' else r'/\w+' if word == '*' else f'/{re.escape(word)}'
            for word in self.node.strip('/').split('/')
        )
        return re.fullmatch(pattern, node) is not None


def read_sources(arguments: Sequence[str]) -> list[ParameterSource]:
    """Return the parameters that the words of a command line give: `--params-file FILE` and `-p NAME:=VALUE`.

    Raises:
        ConfigError: a file is missing or empty, or is not a file of parameters, or a parameter has no value.
    """
    sources: list[ParameterSource] = []
    words = iter(_ros_arguments(arguments))
    for word in words:
        if word == '--params-file':
            sources += read_file(Path(next(words, '')))
        elif word in ('-p', '--param'):
            sources.append(_read_assignment(next(words, '')))
    return sources


def check_words(arguments: Sequence[str]) -> None:
    """Check that a command line has no words outside of its ROS arguments, which rcl ignores: `--checkpoint X`.

    Args:
        arguments: all words; the first is the name of the program.

    Raises:
        ConfigError: there is one.
    """
    inside = False
    for word in arguments[1:]:
        if word in ('--ros-args', '--'):
            inside = word == '--ros-args'
        elif not inside:
            raise ConfigError(
                f"unexpected argument '{word}'; parameters are given as --ros-args -p NAME:=VALUE, "
                'topics as -r NAME:=TOPIC'
            )


def read_file(file: Path) -> list[ParameterSource]:
    """Return the sections of a file of parameters.

    Raises:
        ConfigError: the file is missing or empty, or is not a file of parameters, or a parameter has no value.
    """
    try:
        content = yaml.load(file.read_text(), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'not a text file'
        raise ConfigError(f'{file}: expected a YAML file of parameters, but: {reason}') from error
    except yaml.YAMLError as error:
        raise ConfigError(f'{file}: not valid YAML: {" ".join(str(error).split())}') from error
    example = f'expected a node, {PARAMETERS_KEY} and parameters, such as {{segmenter: {{{PARAMETERS_KEY}: {{...}}}}}}'
    if not content:
        raise ConfigError(f'{file}: the file is empty; {example}')
    if not isinstance(content, Mapping):
        raise ConfigError(f'{file}: {example}, got {type(content).__name__}')
    sections = [
        ParameterSource(str(file), node, tuple(_flatten(parameters, f'{file}: ')), file)
        for node, parameters in _sections(content, '', f'{file}: {example}')
    ]
    if not any(section.names for section in sections):
        raise ConfigError(f'{file}: there are no parameters in the file; {example}')
    return sections


def _ros_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """Return the words between `--ros-args` and `--`."""
    inside = False
    for word in arguments:
        if word in ('--ros-args', '--'):
            inside = word == '--ros-args'
        elif inside:
            yield word


def _sections(content: Mapping[Any, Any], prefix: str, error: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return name and parameters of each node; names may be nested, one namespace a level."""
    for key, value in content.items():
        if key == PARAMETERS_KEY and prefix and (isinstance(value, Mapping) or value is None):
            yield prefix, value or {}
        elif key != PARAMETERS_KEY and isinstance(value, Mapping):
            yield from _sections(value, f'{prefix}/{str(key).strip("/")}', error)
        else:
            raise ConfigError(f"{error}; got '{key}' {f'in {prefix}' if prefix else 'outside of a node'}")


def _flatten(parameters: Mapping[Any, Any], file: str, prefix: str = '') -> Iterator[str]:
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, file, f'{prefix}{key}.')
        elif value is None:
            raise ConfigError(f"{file}{prefix}{key} has no value; write '' for an empty text, or remove the line")
        else:
            yield f'{prefix}{key}'


def _read_assignment(text: str) -> ParameterSource:
    """Return the source of a `-p`: name:=value, or node:name:=value for one node."""
    target, assigned, value = text.partition(':=')
    node, _, name = target.rpartition(':')
    if assigned and not value:
        raise ConfigError(f'-p {text}: expected a value; an empty text is typed -p "{target}:=\'\'"')
    return ParameterSource('-p', node or '/**', (name,))
