"""Names of ROS's Python packages that this repository uses, and the distributions whose sources define them.

`python -m tests.support.ros_names kilted=FOLDER jazzy=FOLDER humble=FOLDER` writes `ros_names.json` beside this file:
the used names that the first distribution defines, and for each other one those that it lacks. A folder holds the
sources of the packages below (checkouts of ros2/rclpy, ros2/launch, ros2/launch_ros, ros2/geometry2), or is the
site-packages where they are installed.

The notation: `rclpy.qos:QoSProfile` is imported, `.create_timer` is an attribute of any object in a file that imports
ROS, `create_timer(clock)` is a keyword argument of any call there. The last two are compared by name alone, which finds
names that a distribution has nowhere; the rest is for the tests of nodes.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support import ROOT

PACKAGES = ('ament_index_python', 'launch', 'launch_ros', 'rclpy', 'tf2_ros')
CODE = ('instructsam_ros', 'launch', 'scripts')
TABLE = Path(__file__).with_suffix('.json')

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def code_files() -> list[Path]:
    """Return the Python files of the ROS package, the launch files and the executables."""
    return sorted(
        file
        for root in CODE
        for file in (ROOT / root).rglob('*')
        if file.suffix == '.py' or file.parent.name == 'scripts'
    )


def used_names(files: Iterable[Path]) -> set[str]:
    """Return the names that files use."""
    return {name for file in files for name in _used_in(ast.parse(file.read_text()))}


def defined_names(sources: Path) -> set[str]:
    """Return the names that the packages in a folder define."""
    found: set[str] = set()
    for package in PACKAGES:
        for folder in sorted(sources.rglob(package)):
            if (folder / '__init__.py').is_file():
                for file in folder.rglob('*.py'):
                    parts = (package, *file.relative_to(folder).with_suffix('').parts)
                    found |= _defined_in(ast.parse(file.read_text()), '.'.join(parts).removesuffix('.__init__'))
        if f'{package}:*' in found:  # the package re-exports its modules
            found |= {f'{package}:{name.partition(":")[2]}' for name in found if name.startswith(f'{package}.')}
    return found


def runtime_subscripts(file: Path) -> list[str]:
    """Return the classes of rclpy that a file subscripts outside annotations; most are generic only from Kilted on."""
    tree = ast.parse(file.read_text())
    annotations = [
        each
        for node in ast.walk(tree)
        for each in (getattr(node, 'annotation', None), getattr(node, 'returns', None))
        if each is not None
    ]
    exempt = {id(node) for annotation in annotations for node in ast.walk(annotation)}
    imported = {alias.name for node in _ros_imports(tree) for alias in node.names}
    return [
        f'{file.name}:{node.lineno}: {node.value.id}[...]'
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        if node.value.id in imported and id(node) not in exempt
    ]


def _ros_imports(tree: ast.Module) -> list[ast.ImportFrom]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [node for node in imports if (node.module or '').partition('.')[0] in PACKAGES]


def _used_in(tree: ast.Module) -> Iterator[str]:
    imports = _ros_imports(tree)
    yield from (f'{node.module}:{alias.name}' for node in imports for alias in node.names)
    plain = (alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names)
    if not imports and not any(name in PACKAGES for name in plain):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not node.attr.startswith('_'):
            yield f'.{node.attr}'
        if isinstance(node, ast.Call):
            callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
            yield from (f'{callee}({keyword.arg})' for keyword in node.keywords if keyword.arg)


def _defined_in(tree: ast.Module, module: str) -> set[str]:
    found = {f'{module}:{name}' for node in ast.walk(tree) for name in _bound_by(node)}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            found |= {f'.{node.name}'} | {f'{node.name}({argument})' for argument in _arguments(node)}
        elif isinstance(node, ast.ClassDef):
            found.add(f'.{node.name}')
            makers = [each for each in node.body if isinstance(each, Function) and each.name in ('__init__', '__new__')]
            found |= {f'{node.name}({argument})' for each in makers for argument in _arguments(each)}
            # Enumerations and constants, and the attributes that QoSProfile takes as **kwargs.
            found |= {f'.{name}' for each in node.body for name in _bound_by(each)}
            slots = [name.strip('_') for name in _slots(node)]
            found |= {f'.{name}' for name in slots} | {f'{node.name}({name})' for name in slots}
    return found


def _bound_by(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, (*Function, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _slots(node: ast.ClassDef) -> list[str]:
    values = [each.value for each in node.body if isinstance(each, ast.Assign) and _bound_by(each) == ['__slots__']]
    return [str(item.value) for value in values for item in ast.walk(value) if isinstance(item, ast.Constant)]


def main(arguments: list[str]) -> None:
    """Write the table."""
    folders = {name: Path(path) for name, _, path in (each.partition('=') for each in arguments)}
    defined = {name: defined_names(folder) for name, folder in folders.items()}
    reference, *others = defined
    # An attribute that our code defines too is most likely its own.
    own = {name for file in code_files() for name in _defined_in(ast.parse(file.read_text()), '') if name[0] == '.'}
    names = used_names(code_files()) & defined[reference] - own
    missing = {name: sorted(names - defined[name]) for name in others}
    TABLE.write_text(json.dumps({'reference': reference, 'names': sorted(names), 'missing': missing}, indent=1) + '\n')
    print(json.dumps(missing, indent=1))


if __name__ == '__main__':
    main(sys.argv[1:])
