"""The Python blocks of docs/grasping.md run with messages of the node, and make messages of the planners' types."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_ros.messages.located_object import UP_IN_IMAGE, LocatedObject
from instructsam_ros.messages.markers import make_markers
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.messages.point_cloud2 import make_scene_cloud, make_target_cloud
from instructsam_ros.messages.segmentation import make_label_image, make_segmentation, make_target_mask
from instructsam_ros.srv import Segment
from tests.support import ROOT, foreign_messages

PAGE = (ROOT / 'docs' / 'grasping.md').read_text()
HEADER = Header(frame_id='camera_optical_frame')
HEADER.stamp.sec, HEADER.stamp.nanosec = 12, 34
SIZE_WH = (16, 12)
CAMERA_INFO = CameraInfo(
    width=16,
    height=12,
    k=[25.0, 0.0, 8.0, 0.0, 25.0, 6.0, 0.0, 0.0, 1.0],  # of the raw image
    p=[20.0, 0.0, 8.0, 0.0, 0.0, 20.0, 6.0, 0.0, 0.0, 0.0, 1.0, 0.0],
)
COLUMNS = {1: slice(2, 5), 2: slice(6, 8), 3: slice(9, 11), 4: slice(12, 15)}
"""Label: columns of its mask in rows 4 to 7."""


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs the block that defines a function, and returns that function."""
    foreign_messages.install(monkeypatch)

    def run(name: str) -> Any:
        [block] = [each for each in re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL) if f'def {name}(' in each]
        names: dict[str, Any] = {}
        exec(compile(block, f'grasping.md: {name}', 'exec'), names)
        return names[name]

    return run


def segmentation() -> Segmentation:
    instances = []
    for label, columns in COLUMNS.items():
        mask = np.zeros(SIZE_WH[::-1], dtype=np.bool_)
        mask[4:8, columns] = True
        box = np.array([columns.start, 4, columns.stop, 8], np.float32)
        instances.append(Instance(mask, box, 1 - label / 10, f'thing {label}', str(label)))
    return Segmentation(tuple(instances), Instruction('things'), 'things', SIZE_WH, 0, HEADER.frame_id)


def scene_cloud() -> PointCloud2:
    """All points at 0.5 m, but for the first column, which has no depth."""
    rows, columns = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]]
    points_m = np.stack([(columns - 8) / 20 * 0.5, (rows - 6) / 20 * 0.5, np.full(rows.shape, 0.5)], axis=-1)
    points_m[:, 0] = np.nan
    image_rgb = np.broadcast_to(np.array([10, 20, 30], np.uint8), (*rows.shape, 3))
    return make_scene_cloud(points_m.astype(np.float32), image_rgb, label_pixels(), HEADER)


def label_pixels() -> np.ndarray[Any, np.dtype[np.uint16]]:
    message = make_label_image(segmentation(), HEADER)
    return np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)


def separated(label: int) -> tuple[int, int]:
    """Invert the Cantor pairing, as contact_graspnet_ros does with the package `pairing` 0.1.3: (type, number)."""
    diagonal = (math.isqrt(8 * label + 1) - 1) // 2
    number = label - diagonal * (diagonal + 1) // 2
    return diagonal - number, number


def test_every_block_of_the_page_is_run() -> None:
    tested = set(re.findall(r"recipe\('(\w+)'\)", Path(__file__).read_text()))
    assert set(re.findall(r'^def (\w+)\(', PAGE, re.MULTILINE)) == tested
    assert PAGE.count('```python') == len(tested)


@pytest.mark.parametrize('name', sorted(foreign_messages.DEFINITIONS))
def test_definitions_are_those_of_the_installed_packages(name: str) -> None:
    if find_spec(name.partition('/')[0]) is None:
        pytest.skip(f'{name.partition("/")[0]} is not installed here')
    assert foreign_messages.definition_of(name) == foreign_messages.DEFINITIONS[name]


def test_every_planner_is_named_with_its_version() -> None:
    rows = dict(re.findall(r'^\| \[([^]]+)\]\(#[\w-]+\) \| ([^|]+) \|', PAGE, re.MULTILINE))
    planners = re.findall(r'^### (.*)$', PAGE.partition('## Planners')[2], re.MULTILINE)
    assert [*rows, 'Others'] == planners
    dated = re.compile(r'\b[0-9a-f]{7}\b.*\b20\d\d-\d\d-\d\d\b')
    assert [name for name, read in rows.items() if not dated.search(read)] == []


def test_foundationpose_takes_the_mask_of_the_response(recipe: Any) -> None:
    mask = make_target_mask(segmentation(), HEADER)
    assert (mask.encoding, mask.header, (mask.width, mask.height)) == ('mono8', HEADER, SIZE_WH)
    response = Segment.Response(success=True, mask=mask, segmentation=make_segmentation(segmentation(), HEADER))
    goal = recipe('pose_goal')(response)
    assert goal.use_segmentation_mask
    assert goal.segmentation_mask == mask
    with pytest.raises(ValueError, match='no object'):
        recipe('pose_goal')(Segment.Response(success=True))


def test_contact_graspnet_reads_the_file(recipe: Any, tmp_path: Path) -> None:
    labels = make_label_image(segmentation(), HEADER)
    depth_m = np.full(SIZE_WH[::-1], 0.5, np.float32)
    recipe('save_scene')(tmp_path / 'scene.npz', depth_m, CAMERA_INFO, labels, np.zeros((12, 16, 3), np.uint8))
    data = np.load(tmp_path / 'scene.npz')
    assert data['K'].shape == (3, 3)
    assert data['K'][0, 2] == 8
    assert np.unique(data['segmap'][data['segmap'] > 0]).tolist() == [1, 2, 3, 4]
    assert data['segmap'].shape == data['depth'].shape == data['rgb'].shape[:2]


def test_contact_graspnet_ros_confuses_our_labels_but_not_the_target_or_paired_labels(recipe: Any) -> None:
    assert [separated(label)[0] for label in (1, 2, 3, 4)] == [1, 0, 2, 1], 'the page states these'
    # cv_bridge scales mono8 to mono16, so the target is one label, whatever it is separated into.
    assert np.unique(make_target_mask(segmentation(), HEADER).data).tolist() == [0, 255]
    labels = make_label_image(segmentation(), HEADER)
    message: Image = recipe('paired_labels')(labels)
    assert (message.header, message.encoding, message.step) == (HEADER, 'mono16', labels.step)
    paired = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
    np.testing.assert_array_equal(np.vectorize(lambda label: separated(int(label))[0])(paired), label_pixels())
    # The node computes 8 * label + 1 in 16 bits with NumPy 2.
    assert 8 * (127 * 128 // 2) + 1 < 2**16 <= 8 * (128 * 129 // 2) + 1


def test_anygrasp_keeps_grasps_of_the_target(recipe: Any) -> None:
    calls = []
    array = np.zeros((2, 17))
    array[:, 13:16] = [[(3 - 8) / 20 * 0.5, (5 - 6) / 20 * 0.5, 0.5], [(13 - 8) / 20 * 0.5, 0, 0.5]]

    class Grasps(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.grasp_group_array)

    def get_grasp(points: Any, colors: Any, lims: Any) -> Any:
        calls.append((points, colors, lims))
        return Grasps(grasp_group_array=array.copy()), None

    grasps = recipe('target_grasps')(SimpleNamespace(get_grasp=get_grasp), scene_cloud())
    np.testing.assert_array_equal(grasps.grasp_group_array, array[:1])
    [(points, colors, limits)] = calls
    assert points.shape == colors.shape == (12 * 15, 3), 'the scene, without the column that has no depth'
    assert points.dtype == colors.dtype == np.float32
    np.testing.assert_allclose(colors[0] * 255, [10, 20, 30], atol=1e-4)
    np.testing.assert_allclose(limits, [-0.25, 0.0, -0.15, 0.125, 0.4, 0.6], atol=1e-6)
    with pytest.raises(ValueError, match='label 9'):
        recipe('target_grasps')(None, scene_cloud(), label=9)


def test_gpd_reads_the_fields_of_the_target_cloud() -> None:
    cloud = make_target_cloud(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), HEADER)
    # Without normals in fields 3 to 5, the port reads pcl::PointXYZRGBA, for which PCL takes `rgb` as float32.
    assert [(field.name, field.datatype) for field in cloud.fields] == [
        (name, PointField.FLOAT32) for name in ('x', 'y', 'z', 'rgb')
    ]


@pytest.mark.parametrize(('column', 'row', 'is_kept'), [(3, 5, True), (5, 5, False), (-1, 5, False), (3, 40, False)])
def test_vl_grasp_keeps_centers_in_the_mask(recipe: Any, column: int, row: int, is_kept: bool) -> None:
    center_m = np.array([(column - 8) / 20, (row - 6) / 20, 1.0])
    mask = make_target_mask(segmentation(), HEADER)
    assert recipe('is_in_mask')(center_m, CAMERA_INFO, mask) is is_kept
    assert not recipe('is_in_mask')(-center_m, CAMERA_INFO, mask)


def test_moveit_gets_the_box_in_its_frame(recipe: Any) -> None:
    message = make_segmentation(segmentation(), HEADER)
    message.geometry_frame_id = 'base_link'
    message.instances[1].pose.position.x = 0.25
    message.instances[1].size.x, message.instances[1].size.y, message.instances[1].size.z = 0.1, 0.2, 0.3
    added = recipe('collision_object')(message, number=2)
    assert (added.header.frame_id, added.header.stamp) == ('base_link', HEADER.stamp)
    assert added.pose.position.x == 0.25
    assert list(added.primitives[0].dimensions) == [0.1, 0.2, 0.3]
    assert len(added.primitives) == len(added.primitive_poses)
    message.depth_message = 'no depth image'
    with pytest.raises(ValueError, match='no depth image'):
        recipe('collision_object')(message, number=1)


def test_moveit_octomap_has_every_parameter_that_the_plugin_requires() -> None:
    yaml = pytest.importorskip('yaml')
    [block] = re.findall(r'```yaml\n(.*?)```', PAGE, re.DOTALL)
    parameters = yaml.safe_load(block)
    # Of moveit_ros_perception 2.15.0, PointCloudOctomapUpdater::setParams.
    required = {'point_cloud_topic', 'max_range', 'padding_offset', 'padding_scale', 'point_subsample'}
    required |= {'max_update_rate', 'filtered_cloud_topic', 'sensor_plugin'}
    assert [set(parameters[name]) for name in parameters['sensors']] == [required]


def test_cumotion_gets_the_box_of_the_right_instance_in_the_gripper_frame(recipe: Any) -> None:
    box = OrientedBox(np.array([0.1, 0.2, 0.5]), np.eye(3), np.array([0.04, 0.06, 0.08]))
    markers = make_markers([LocatedObject(2, 'thing', 'thing', 0.8, box, HEADER, UP_IN_IMAGE)], [], HEADER)
    asked = []

    def transform(pose: PoseStamped, frame: str) -> PoseStamped:
        asked.append((pose.header.frame_id, pose.header.stamp.sec, frame))
        moved = PoseStamped(header=Header(stamp=pose.header.stamp, frame_id=frame), pose=pose.pose)
        moved.pose.position.z += 1.0
        return moved

    goal = recipe('attach_goal')(markers, SimpleNamespace(transform=transform), number=2)
    assert asked == [('camera_optical_frame', 12, 'world'), ('world', 0, 'grasp_frame')]
    assert goal.object_config.pose.position.z == pytest.approx(2.5)
    assert (goal.object_config.scale.x, goal.object_config.scale.z) == (0.04, 0.08)
    with pytest.raises(ValueError, match='instance 1 has no 3D box'):
        recipe('attach_goal')(markers, None, number=1)


def test_sensor_msgs_py_reads_the_cloud() -> None:
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    points = point_cloud2.read_points(scene_cloud(), skip_nans=True)
    assert np.bincount(points['label']).tolist() == [12 * 15 - 4 * 10, 12, 8, 8, 12]
    assert np.unique(points['rgb'].view(np.uint32)).tolist() == [0x0A141E]
