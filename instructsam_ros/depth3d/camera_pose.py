"""`CameraPoseLookup`: where the camera was in the frame in which boxes stand upright."""

from __future__ import annotations

from importlib.util import find_spec

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from instructsam_model import ConfigError
from instructsam_ros.messages.geometry import Matrix, read_pose

WAIT_S = 0.1
"""How long an answer waits for a transform that is still on its way."""


class UnknownPoseError(LookupError):
    """Nobody has said where the camera was."""


class CameraPoseLookup:
    """Listens to /tf for the pose of the camera in a frame.

    tf2_ros comes with ROS but is not on PyPI, so it is loaded only by those who name a frame.

    Args:
        node: that listens.
        frame_id: whose z is up.
    """

    def __init__(self, node: Node, frame_id: str) -> None:
        from tf2_ros import Buffer, TransformListener

        self._frame_id = frame_id
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def camera_pose(self, header: Header) -> Matrix:
        """The pose (4, 4) of the header's frame at its stamp; waits a little, so not for the executor's thread.

        Raises:
            UnknownPoseError: it is not known.
        """
        from tf2_ros import TransformException

        try:
            found = self._buffer.lookup_transform(
                self._frame_id, header.frame_id, Time.from_msg(header.stamp), timeout=Duration(seconds=WAIT_S)
            )
        except TransformException as error:
            raise UnknownPoseError(
                f"'{header.frame_id}' is not known in depth.box_frame '{self._frame_id}' at the stamp of the image "
                f'({error}); check with ros2 run tf2_ros tf2_echo'
            ) from error
        return read_pose(found.transform.translation, found.transform.rotation)

    def destroy(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def check_tf2() -> None:
    """Make sure that a frame can be named.

    Raises:
        ConfigError: tf2_ros is not installed.
    """
    if find_spec('tf2_ros') is None:
        raise ConfigError(
            'depth.box_frame needs tf2_ros, which is not installed; install it with ROS (apt install '
            'ros-$ROS_DISTRO-tf2-ros-py, it is not on PyPI), or leave depth.box_frame empty'
        )
