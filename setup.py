"""Metadata of the package for pip. cmake/build_interfaces.py builds the ROS interfaces; colcon reads CMakeLists.txt."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
# pip's build front end does not put the source folder on the path.
sys.path.insert(0, str(ROOT / 'cmake'))

from build_interfaces import COMMANDS, NAME, RosDistribution, ament_prefixes  # noqa: E402

WITH_ROS = bool(ament_prefixes())
PACKAGE = ElementTree.parse(ROOT / 'package.xml')


def requirements(name: str) -> list[str]:
    """Return the requirements listed in a file."""
    lines = (line.partition('#')[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


def packages() -> dict[str, str]:
    """Return the packages to install and the folder of each; the ROS package only with its messages."""
    roots = {'model': ['instructsam_model*'], 'training': ['instructsam_training*'], '.': [NAME, f'{NAME}.*']}
    if not WITH_ROS:
        del roots['.']
    return {
        package: str(Path(root, *package.split('.')))
        for root, include in roots.items()
        for package in find_packages(str(ROOT / root), include=include)
    }


WHEELS_PLATFORM = 'sys_platform == "linux" and platform_machine == "x86_64"'
SCRIPTS = [
    'instructsam-bench = instructsam_model.bench.__main__:main',
    'instructsam-convert = instructsam_training.cli.convert:main',
    'instructsam-demo = instructsam_model.cli.demo:main',
    'instructsam-eval = instructsam_training.cli.evaluate:main',
    'instructsam-segment = instructsam_model.cli.segment:main',
    'instructsam-tabletop = instructsam_training.tabletop.export.write:main',
    'instructsam-train = instructsam_training.cli.train:main',
]
ROS_SCRIPTS = [
    'instructsam-segmenter = instructsam_ros.node.segmenter_node:main',
    'instructsam-view = instructsam_ros.viewer.app:main',
]

setup(
    name=NAME,
    version=PACKAGE.findtext('version'),
    description='Instruction-conditioned instance segmentation with InstructSAM and SAM 3: node, models, training',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    project_urls={str(url.get('type')): str(url.text).strip() for url in PACKAGE.findall('url')},
    python_requires='>=3.10',
    packages=list(packages()),
    package_dir=packages(),
    package_data={'': ['**/*']},
    exclude_package_data={'': ['*.pyc']},
    zip_safe=False,
    # No ROS packages: PyPI has them for one platform only, and its `launch` is an unrelated project.
    # The headless OpenCV, because robots and containers often lack the libraries of the other one.
    install_requires=[
        *requirements('requirements-model.txt'),
        'numpy>=1.26',
        'opencv-python-headless>=4.8',
        'pillow>=10',
        'rich>=13',
        'scipy>=1.11',
    ],
    extras_require={
        # The client of a server for the back end `sam3_agent`.
        'agent': ['openai>=1.66'],
        'demo': ['gradio>=6.31'],
        'dev': [
            'clip-anytorch>=2.6',  # has the vocabulary of CLIP, for the parity of SAM3-I's token ids
            'codespell',
            'ipykernel>=6',
            'mypy',
            'nbclient>=0.10',
            'pre-commit',
            'pytest',
            'pytest-xdist>=3.7',
            'ruff',
            'selenium',
        ],
        # What examples/finetune.ipynb needs besides `train`.
        'notebook': ['ipykernel>=6'],
        # One-byte weights. Tested: 0.18 with torch 2.12. Its compiled kernels (x86-64 only) are not used.
        'quantized': ['torchao>=0.18'],
        'ros': [
            f'{name}; {WHEELS_PLATFORM}' for name in requirements('requirements-ros.txt') if name.startswith('ros-')
        ],
        # Meta's implementation, for its parity tests; it needs an environment of its own (make test-sam3), because it
        # pins older packages than constraints.txt. It does not declare Triton, which torch installs only with CUDA.
        'sam3': ['psutil', 'sam3>=0.1.4', 'triton; sys_platform == "linux"'],
        # 3.17 is the last version for Python 3.10. Debian packages: libegl1 and libgl1-mesa-dri, or libosmesa6.
        'sim': ['mujoco>=3.17'],
        'train': ['datasets>=4.4', 'matplotlib>=3.8', 'peft>=0.18', 'pyyaml>=6', 'tensorboard>=2.16'],
        # Older versions lack `rerun.chunk`, with which the tests read recordings.
        'view': ['rerun-sdk>=0.41; python_version >= "3.11"'],
    },
    entry_points={
        'console_scripts': SCRIPTS + (ROS_SCRIPTS if WITH_ROS else []),
        # For back ends of other packages; the built-in ones are rows of instructsam_model/backends.py.
        'instructsam_ros.backends': [],
    },
    cmdclass=COMMANDS,
    distclass=RosDistribution,
)
