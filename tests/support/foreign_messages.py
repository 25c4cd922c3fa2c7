"""Messages of packages that are not installed here, as classes that refuse unknown fields and wrong types.

The fields were read from the definitions of the packages, in the versions that docs/grasping.md names. Where a package
is installed, its own classes are used; `definition_of` reads their fields, to compare them with these.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

DEFINITIONS: dict[str, dict[str, str]] = {
    # moveit_msgs 2.6.0
    'moveit_msgs/msg/CollisionObject': {
        'header': 'std_msgs/Header', 'pose': 'geometry_msgs/Pose', 'id': 'string',
        'type': 'object_recognition_msgs/ObjectType',
        'primitives': 'shape_msgs/SolidPrimitive[]', 'primitive_poses': 'geometry_msgs/Pose[]',
        'meshes': 'shape_msgs/Mesh[]', 'mesh_poses': 'geometry_msgs/Pose[]',
        'planes': 'shape_msgs/Plane[]', 'plane_poses': 'geometry_msgs/Pose[]',
        'subframe_names': 'string[]', 'subframe_poses': 'geometry_msgs/Pose[]', 'operation': 'octet',
    },
    # shape_msgs 5.4.2 (common_interfaces)
    'shape_msgs/msg/SolidPrimitive': {'type': 'uint8', 'dimensions': 'double[]', 'polygon': 'geometry_msgs/Polygon'},
    # isaac_manipulator_interfaces 4.2.0
    'isaac_manipulator_interfaces/action/EstimatePoseFoundationPose/Goal': {
        'roi': 'vision_msgs/Detection2D', 'use_segmentation_mask': 'boolean', 'segmentation_mask': 'sensor_msgs/Image',
        'mesh_file_path': 'string', 'object_frame_name': 'string',
    },
    # isaac_ros_cumotion_interfaces 4.2.0
    'isaac_ros_cumotion_interfaces/action/AttachObject/Goal': {
        'attach_object': 'boolean', 'object_config': 'visualization_msgs/Marker', 'fallback_radius': 'double',
    },
}  # fmt: skip
"""Field: type, in the notation of `get_fields_and_field_types`."""

CONSTANTS = {
    'moveit_msgs/msg/CollisionObject': {'ADD': b'\x00', 'REMOVE': b'\x01', 'APPEND': b'\x02', 'MOVE': b'\x03'},
    'shape_msgs/msg/SolidPrimitive': {'BOX': 1, 'SPHERE': 2, 'CYLINDER': 3, 'CONE': 4, 'PRISM': 5},
}

BASIC = {'string': str, 'boolean': bool, 'uint8': int, 'double': float, 'octet': bytes}


def packages() -> list[str]:
    """Return the packages that have definitions here."""
    return sorted({name.partition('/')[0] for name in DEFINITIONS})


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the modules of the packages that are not installed importable during a test."""
    for package in packages():
        if find_spec(package) is None:
            for name in [each for each in DEFINITIONS if each.startswith(f'{package}/')]:
                _, kind, top, *part = name.split('/')
                module = f'{package}.{kind}'
                for each in (package, module):
                    if each not in sys.modules:
                        monkeypatch.setitem(sys.modules, each, ModuleType(each))
                made = _make_class(name)
                setattr(sys.modules[module], top, type(top, (), {part[0]: made}) if part else made)


def definition_of(name: str) -> dict[str, str]:
    """Return the fields of a message of an installed package, such as `shape_msgs/msg/SolidPrimitive`."""
    package, kind, top, *part = name.split('/')
    message = getattr(import_module(f'{package}.{kind}'), top)
    message = getattr(message, part[0]) if part else message
    fields = message.get_fields_and_field_types()
    return {field: _short(type_name) for field, type_name in fields.items()}


def _short(type_name: str) -> str:
    item = type_name.removeprefix('sequence<').removesuffix('>').partition(',')[0]
    return f'{item}[]' if type_name.startswith('sequence<') else item


def _make_class(name: str) -> type:
    fields = DEFINITIONS[name]

    def __init__(self: Any, **kwargs: Any) -> None:
        for field, value in kwargs.items():
            assert field in fields, f'{name} has no field {field}'
            type_name = fields[field]
            values = value if type_name.endswith('[]') else [value]
            for each in values:
                _check_type(f'{name}.{field}', type_name.removesuffix('[]'), each)
            setattr(self, field, value)

    return type(name, (), {'__init__': __init__, **CONSTANTS.get(name, {})})


def _check_type(where: str, type_name: str, value: Any) -> None:
    if type_name in BASIC:
        assert isinstance(value, BASIC[type_name]), f'{where}: expected {type_name}, got {value!r}'
        return
    package, _, name = type_name.partition('/')
    expected = getattr(import_module(f'{package}.msg'), name)
    assert isinstance(value, expected), f'{where}: expected {type_name}, got {type(value)}'
