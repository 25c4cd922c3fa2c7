"""Installs with pip what colcon builds: the Python packages and, where ROS 2 is, its interfaces and launch files.

The interfaces are built by the CMakeLists.txt that colcon uses, and its install tree becomes the wheel's data, so that
both ways give one layout: lib/*.so, lib/instructsam_ros/<executables>, share/instructsam_ros and the Python packages.

ROS 2 is looked for in AMENT_PREFIX_PATH (a sourced ROS), then in this environment (the wheels of requirements-ros.txt).
Without it, instructsam_model and instructsam_training are installed alone. The variable INSTRUCTSAM_ROS_INTERFACES can
say otherwise: `require` fails without ROS, `skip` does not look for it, and `auto` is the default.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Distribution, find_packages, setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
NAME = 'instructsam_ros'
SITE_PACKAGES = Path(os.path.relpath(sysconfig.get_path('purelib'), sys.prefix))
GENERATORS = Path('share/ament_index/resource_index/packages/rosidl_default_generators')


def ament_prefixes() -> list[str]:
    """Return the install prefixes of the ROS to build against; none when there is none or none is wanted."""
    mode = os.environ.get('INSTRUCTSAM_ROS_INTERFACES', 'auto')
    if mode not in ('auto', 'require', 'skip'):
        sys.exit(f'INSTRUCTSAM_ROS_INTERFACES: expected auto, require or skip, got {mode!r}')
    if mode == 'skip':
        return []
    sourced = [prefix for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if prefix]
    for prefixes in (sourced, [sys.prefix]):
        if any((Path(prefix) / GENERATORS).is_file() for prefix in prefixes):
            return prefixes
    if mode == 'require':
        sys.exit(
            f'no ROS 2 interface generators in AMENT_PREFIX_PATH or {sys.prefix}: source ROS 2, or first '
            'pip install -r requirements-ros.txt and then use pip install --no-build-isolation'
        )
    return []


PREFIXES = ament_prefixes()


def build_folders() -> tuple[Path, Path]:
    """Return the folders to build and to stage in: a pair per Python and ROS, since CMake caches absolute paths."""
    key = hashlib.sha256(os.pathsep.join([sys.prefix, *PREFIXES]).encode()).hexdigest()[:8]
    tag = f'{sysconfig.get_platform()}-{sys.implementation.cache_tag}-{key}'
    return ROOT / 'build' / f'ros-{tag}', ROOT / 'build' / f'stage-{tag}'


def run_cmake() -> tuple[Path, Path]:
    """Configure, build and stage the CMake project; return the folders of `build_folders`."""
    work, stage = build_folders()
    environment = {**os.environ, 'AMENT_PREFIX_PATH': os.pathsep.join(PREFIXES)}
    # Set by pip's build isolation, it would hide this environment's packages from the generators.
    environment.pop('PYTHONPATH', None)
    path = os.pathsep.join([str(Path(sys.prefix, 'bin')), environment.get('PATH', os.defpath)])
    cmake, ninja = shutil.which('cmake', path=path), shutil.which('ninja', path=path)
    if cmake is None:
        sys.exit('cmake not found: pip install cmake ninja, or apt install cmake')
    configure = [
        cmake, '-S', str(ROOT), '-B', str(work),
        '-DBUILD_TESTING=OFF', '-DCMAKE_BUILD_TYPE=Release',
        # Where the files end up, not where they are staged: else CMake rejects a .venv in the source tree.
        f'-DCMAKE_INSTALL_PREFIX={sys.prefix}', f'-DCMAKE_PREFIX_PATH={";".join(PREFIXES)}',
        f'-DPython3_EXECUTABLE={sys.executable}',
    ]  # fmt: skip
    if sys.prefix in PREFIXES:
        configure.append(f'-DCMAKE_PROJECT_INCLUDE={ROOT / "cmake" / "pypi_ros_wheels.cmake"}')
    if ninja is not None:
        configure += ['-G', 'Ninja', f'-DCMAKE_MAKE_PROGRAM={ninja}']
    shutil.rmtree(stage, ignore_errors=True)
    install = [cmake, '--install', str(work), '--prefix', str(stage)]
    for command in configure, [cmake, '--build', str(work), '--parallel'], install:
        subprocess.run(command, env=environment, check=True)
    return work, stage


def shared_files(stage: Path) -> list[Path]:
    """Return the libraries, executables and shared files of the install tree (its C++ headers stay behind)."""
    found = [path for top in ('lib', 'share') for path in (stage / top).rglob('*') if path.is_file()]
    return [path for path in found if not path.is_relative_to(stage / SITE_PACKAGES)]


def generated_modules(stage: Path) -> list[Path]:
    """Return the generated Python modules: what the source tree lacks."""
    site = stage / SITE_PACKAGES
    modules = [path for suffix in ('py', 'so') for path in (site / NAME).rglob(f'*.{suffix}')]
    return [path for path in modules if not (ROOT / path.relative_to(site)).exists()]


def editable_link(work: Path, stage: Path) -> list[Path]:
    """Write the file through which an editable install finds the generated modules in the build folder.

    `instructsam_ros/__init__.py` reads it with `pkgutil.extend_path`. In site-packages the modules would make a folder
    without `__init__.py`, a namespace package, which Python finds before the source tree.
    """
    link = stage / SITE_PACKAGES / f'{NAME}.pkg'
    link.write_text(f'{work / "rosidl_generator_py" / NAME}\n')
    return [link]


class BuildInterfaces(Command):
    """Build the ROS side with CMake and hand its files to setuptools' install_data."""

    description = 'build the ROS 2 interfaces with CMake'
    user_options: ClassVar[list[tuple[str, str, str]]] = []

    def initialize_options(self) -> None:
        """Begin as a regular build; setuptools sets `editable_mode` for `pip install -e`."""
        self.editable_mode = False

    def finalize_options(self) -> None:
        """There are no options."""

    def run(self) -> None:
        """Build, then say what goes where in the environment."""
        work, stage = run_cmake()
        modules = editable_link(work, stage) if self.editable_mode else generated_modules(stage)
        self.distribution.data_files = [
            (str(path.relative_to(stage).parent), [os.path.relpath(path, ROOT)])
            for path in sorted(shared_files(stage) + modules)
        ]


class Build(build):
    """The usual build, after the interfaces where there is a ROS to build them with."""

    sub_commands: ClassVar = [('build_interfaces', lambda command: bool(PREFIXES)), *build.sub_commands]


class RosDistribution(Distribution):
    """A distribution that is bound to a platform when it carries the interfaces' libraries."""

    # `pip install -e` installs data only if this exists; regular installs ask has_data_files.
    has_data = Distribution.has_data_files

    def has_ext_modules(self) -> bool:
        """Tell setuptools whether the wheel is for this platform only."""
        return bool(PREFIXES)


def requirements(name: str) -> list[str]:
    """Return the requirements listed in a file."""
    lines = (line.partition('#')[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


def packages() -> dict[str, str]:
    """Return the packages to install and the folder of each; the ROS shell only with its messages."""
    roots = {'model': ['instructsam_model*'], 'training': ['instructsam_training*'], '.': [NAME, f'{NAME}.*']}
    if not PREFIXES:
        del roots['.']
    return {
        package: str(Path(root, *package.split('.')))
        for root, include in roots.items()
        for package in find_packages(str(ROOT / root), include=include)
    }


WHEELS_PLATFORM = 'sys_platform == "linux" and platform_machine == "x86_64"'
COMMANDS = [
    'instructsam-bench = instructsam_model.bench.__main__:main',
    'instructsam-convert = instructsam_training.cli.convert:main',
    'instructsam-demo = instructsam_model.cli.demo:main',
    'instructsam-eval = instructsam_training.cli.evaluate:main',
    'instructsam-segment = instructsam_model.cli.segment:main',
    'instructsam-tabletop = instructsam_training.tabletop.export.write:main',
    'instructsam-train = instructsam_training.cli.train:main',
]
ROS_COMMANDS = [
    'instructsam-segmenter = instructsam_ros.node.segmenter_node:main',
    'instructsam-view = instructsam_ros.viewer.app:main',
]

setup(
    name=NAME,
    version=ElementTree.parse(ROOT / 'package.xml').findtext('version'),
    description='Segments what an instruction asks for: camera frames and free-form text in, instance masks out.',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=list(packages()),
    package_dir=packages(),
    package_data={'': ['**/*']},
    exclude_package_data={'': ['*.pyc']},
    zip_safe=False,
    # ROS names never stand here: on PyPI they exist for one platform, and `launch` is an unrelated project there.
    # OpenCV is the build without windows: nothing here opens one, and robots and containers often lack what they need.
    install_requires=[
        *requirements('requirements-model.txt'),
        'numpy>=1.26',
        'opencv-python-headless>=4.8',
        'pillow>=10',
        'rich>=13',
        'scipy>=1.11',
    ],
    extras_require={
        'demo': ['gradio>=6.31'],
        'dev': ['codespell', 'mypy', 'pre-commit', 'pytest', 'pytest-xdist>=3.6', 'ruff', 'selenium'],
        # Weights of one byte. 0.18 was tested, with torch 2.12; its compiled kernels, for x86-64 alone, are not used.
        'quantized': ['torchao>=0.18'],
        'ros': [
            f'{name}; {WHEELS_PLATFORM}' for name in requirements('requirements-ros.txt') if name.startswith('ros-')
        ],
        # Meta's implementation, to compare with (tests/model/sam3/test_meta_parity.py). It needs older packages than
        # constraints.txt has, and Triton, which it does not ask for and torch brings only with CUDA.
        'sam3': ['psutil', 'sam3>=0.1.4', 'triton; sys_platform == "linux"'],
        # 3.17 is the last that runs on Python 3.10. Debian: libegl1 and libgl1-mesa-dri, or libosmesa6.
        'sim': ['mujoco>=3.17'],
        'train': ['datasets>=4.4', 'matplotlib>=3.8', 'peft>=0.18', 'pyyaml>=6', 'tensorboard>=2.16'],
        # Needs Python 3.11; what it had before could not be read back (rerun.chunk), which the tests do.
        'view': ['rerun-sdk>=0.41; python_version >= "3.11"'],
    },
    entry_points={'console_scripts': COMMANDS + (ROS_COMMANDS if PREFIXES else [])},
    cmdclass={'build': Build, 'build_interfaces': BuildInterfaces},
    distclass=RosDistribution,
)
