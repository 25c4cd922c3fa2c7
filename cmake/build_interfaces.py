"""Builds the ROS 2 interfaces with CMake for `pip install`. Imported by setup.py; colcon does not need it.

pip runs the same CMakeLists.txt as colcon, and its install tree becomes the data of the wheel. Both therefore install
the same layout: lib/*.so, lib/instructsam_ros/<executables>, share/instructsam_ros and the Python packages.

ROS 2 is searched in AMENT_PREFIX_PATH (a sourced ROS), then in this environment (the wheels of requirements-ros.txt).
Without it, pip installs instructsam_model and instructsam_training alone. INSTRUCTSAM_ROS_INTERFACES overrides that:
`auto` (default), `require` (fail if ROS is not found) or `skip` (do not search).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Distribution
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parents[1]
NAME = 'instructsam_ros'
SITE_PACKAGES = Path(os.path.relpath(sysconfig.get_path('purelib'), sys.prefix))
GENERATORS = Path('share/ament_index/resource_index/packages/rosidl_default_generators')


@cache
def ament_prefixes() -> tuple[str, ...]:
    """Return the install prefixes of the ROS 2 to build against; empty if ROS is not found or not wanted."""
    mode = os.environ.get('INSTRUCTSAM_ROS_INTERFACES', 'auto')
    if mode not in ('auto', 'require', 'skip'):
        sys.exit(f'INSTRUCTSAM_ROS_INTERFACES: expected auto, require or skip, got {mode!r}')
    if mode == 'skip':
        return ()
    sourced = tuple(prefix for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if prefix)
    for prefixes in (sourced, (sys.prefix,)):
        if any((Path(prefix) / GENERATORS).is_file() for prefix in prefixes):
            return prefixes
    if mode == 'require':
        sys.exit(
            f'no ROS 2 interface generators in AMENT_PREFIX_PATH or {sys.prefix}: source ROS 2, or first '
            'pip install -r requirements-ros.txt and then use pip install --no-build-isolation'
        )
    return ()


def build_folders() -> tuple[Path, Path]:
    """Return the build and staging folders: one pair per Python and ROS, because CMake caches absolute paths."""
    key = hashlib.sha256(os.pathsep.join([sys.prefix, *ament_prefixes()]).encode()).hexdigest()[:8]
    tag = f'{sysconfig.get_platform()}-{sys.implementation.cache_tag}-{key}'
    return ROOT / 'build' / f'ros-{tag}', ROOT / 'build' / f'stage-{tag}'


def find_tool(name: str) -> str | None:
    """Return the path of a build tool, preferring the one that is installed in this environment."""
    return shutil.which(name, path=os.pathsep.join([str(Path(sys.prefix, 'bin')), os.environ.get('PATH', os.defpath)]))


def configure_command(cmake: str, build_folder: Path) -> list[str]:
    """Return the command that configures the CMake project."""
    prefixes, ninja = ament_prefixes(), find_tool('ninja')
    command = [
        cmake, '-S', str(ROOT), '-B', str(build_folder),
        '-DBUILD_TESTING=OFF', '-DCMAKE_BUILD_TYPE=Release',
        # The final location, not the staging folder: CMake rejects a .venv inside the source tree otherwise.
        f'-DCMAKE_INSTALL_PREFIX={sys.prefix}', f'-DCMAKE_PREFIX_PATH={";".join(prefixes)}',
        f'-DPython3_EXECUTABLE={sys.executable}',
    ]  # fmt: skip
    if sys.prefix in prefixes:
        command.append(f'-DCMAKE_PROJECT_INCLUDE={ROOT / "cmake" / "pypi_ros_wheels.cmake"}')
    if ninja is not None:
        command += ['-G', 'Ninja', f'-DCMAKE_MAKE_PROGRAM={ninja}']
    return command


def run_cmake() -> tuple[Path, Path]:
    """Configure, build and stage the CMake project; return the two folders of `build_folders`."""
    build_folder, stage = build_folders()
    cmake = find_tool('cmake')
    if cmake is None:
        sys.exit('cmake not found: pip install cmake ninja, or apt install cmake')
    environment = {**os.environ, 'AMENT_PREFIX_PATH': os.pathsep.join(ament_prefixes())}
    # pip's build isolation sets it, which would hide this environment's packages from the generators.
    environment.pop('PYTHONPATH', None)
    environment['PATH'] = os.pathsep.join([str(Path(sys.prefix, 'bin')), environment.get('PATH', os.defpath)])
    shutil.rmtree(stage, ignore_errors=True)
    for command in (
        configure_command(cmake, build_folder),
        [cmake, '--build', str(build_folder), '--parallel'],
        [cmake, '--install', str(build_folder), '--prefix', str(stage)],
    ):
        subprocess.run(command, env=environment, check=True)
    return build_folder, stage


def shared_files(stage: Path) -> list[Path]:
    """Return the staged libraries, executables and shared files, without C++ headers and Python modules."""
    found = [path for top in ('lib', 'share') for path in (stage / top).rglob('*') if path.is_file()]
    return [path for path in found if not path.is_relative_to(stage / SITE_PACKAGES)]


def generated_modules(stage: Path) -> list[Path]:
    """Return the staged Python modules that the source tree lacks."""
    site = stage / SITE_PACKAGES
    modules = [path for suffix in ('py', 'so') for path in (site / NAME).rglob(f'*.{suffix}')]
    return [path for path in modules if not (ROOT / path.relative_to(site)).exists()]


def write_editable_link(build_folder: Path, stage: Path) -> Path:
    """Write the file through which an editable install finds the generated modules in the build folder.

    `instructsam_ros/__init__.py` reads it with `pkgutil.extend_path`. In site-packages the modules would make a folder
    without `__init__.py`, a namespace package, which Python finds before the source tree.
    """
    link = stage / SITE_PACKAGES / f'{NAME}.pkg'
    link.write_text(f'{build_folder / "rosidl_generator_py" / NAME}\n')
    return link


class BuildInterfaces(Command):
    """Builds the ROS interfaces with CMake and passes their files to setuptools' install_data."""

    description = 'build the ROS 2 interfaces with CMake'
    user_options: ClassVar[list[tuple[str, str, str]]] = []

    def initialize_options(self) -> None:
        """Start as a regular build; setuptools sets `editable_mode` for `pip install -e`."""
        self.editable_mode = False

    def finalize_options(self) -> None:
        """Do nothing: this command has no options."""

    def run(self) -> None:
        """Build the interfaces and list the files to install."""
        build_folder, stage = run_cmake()
        modules = [write_editable_link(build_folder, stage)] if self.editable_mode else generated_modules(stage)
        self.distribution.data_files = [
            (str(path.relative_to(stage).parent), [os.path.relpath(path, ROOT)])
            for path in sorted(shared_files(stage) + modules)
        ]


class Build(build):
    """The build command of setuptools, which builds the interfaces first if ROS was found."""

    sub_commands: ClassVar = [('build_interfaces', lambda command: bool(ament_prefixes())), *build.sub_commands]


class RosDistribution(Distribution):
    """A distribution that is platform-specific if it contains the libraries of the interfaces."""

    # `pip install -e` installs data files only if this attribute exists; regular installs ask has_data_files.
    has_data = Distribution.has_data_files

    def has_ext_modules(self) -> bool:
        """Return whether the wheel is for this platform only."""
        return bool(ament_prefixes())


COMMANDS = {'build': Build, 'build_interfaces': BuildInterfaces}
