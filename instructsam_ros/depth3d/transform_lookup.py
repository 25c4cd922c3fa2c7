"""`TransformLookup`: poses of cameras from /tf, without waiting, and what is wrong if there is none.

tf2_ros comes with ROS but is not on PyPI, so it is imported only where it is needed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from instructsam_model import ConfigError
from instructsam_ros.messages.geometry import Matrix, read_pose
from instructsam_ros.messages.stamp import JUMP_BACK_NS, read_stamp_ns

DISCOVERY_S = 2.0
"""Unknown frames and missing connections are waited for until this time after the start: discovery takes a while."""
STOPPED_S = 1.0
"""A transform that is older than the image by this much more than the timeout is no longer waited for."""
CLOCKS_DIFFER_S = 10.0
"""A difference between the stamps of an image and of /tf that no delay explains."""
SETTLE_S = 2.0
"""Messages of the lap before may arrive until this time after the start of a lap."""
MAX_JUMPS = 4
JUMP_WINDOW_S = 10.0
"""More than `MAX_JUMPS` jumps in this time are two publishers with different clocks, not laps."""


class MissingTransformError(LookupError):
    """There is no transform.

    Attributes:
        may_come: whether it may still arrive.
    """

    def __init__(self, message: str, *, may_come: bool) -> None:
        super().__init__(message)
        self.may_come = may_come


class LapBuffers:
    """The tf2 buffers of this lap and of the one before; a lap ends when stamps start over, as those of a looped bag.

    tf2 keeps transforms of the last 10 s by their stamps, and would ignore those of the next lap of a longer bag as old
    ones. The buffer of the lap before is kept for its last messages, which may arrive after the first of this lap.

    Args:
        make_buffer: makes a buffer of tf2_ros.

    Attributes:
        current: the buffer of this lap.
        since_s: time of its first transform, on the clock of `time.monotonic`.
    """

    def __init__(self, make_buffer: Callable[[], Any]) -> None:
        self._make_buffer = make_buffer
        self._previous: Any = None
        # Newest stamp of the lap before, and time at which this one has begun; None if they are of different clocks.
        self._end_ns = 0
        self._start_ns: int | None = None
        self._static: dict[str, Any] = {}
        self._newest_ns: dict[str, int] = {}
        self._jumps_s: deque[float] = deque(maxlen=MAX_JUMPS)
        self.current = make_buffer()
        self.since_s = time.monotonic()

    def of(self, stamp_ns: int) -> Any:
        """Return the buffer for a message that arrives now: that of this lap, or of the one before if it is late."""
        if self._start_ns is None or time.monotonic() - self.since_s > SETTLE_S:
            return self.current
        newest_ns = max(self._newest_ns.values(), default=self._start_ns)
        # Nearer to the end of the lap before than to what this lap has reached.
        is_late = stamp_ns > newest_ns and abs(self._end_ns - stamp_ns) < stamp_ns - newest_ns
        return self._previous if is_late else self.current

    def set_transform(self, transform: Any, authority: str) -> None:
        """Add a transform; called by the listener of tf2_ros."""
        stamp_ns, frame_id = read_stamp_ns(transform.header.stamp), transform.child_frame_id
        if (buffer := self.of(stamp_ns)) is not self.current:
            buffer.set_transform(transform, authority)
            return
        if stamp_ns < self._newest_ns.get(frame_id, stamp_ns) - JUMP_BACK_NS and not self._jumps_too_often():
            self._jumps_s.append(time.monotonic())
            self._start_lap(stamp_ns)
        self._newest_ns[frame_id] = stamp_ns
        self.current.set_transform(transform, authority)

    def set_transform_static(self, transform: Any, authority: str) -> None:
        """Add a static transform, which is valid in all laps; called by the listener of tf2_ros."""
        self._static[transform.child_frame_id] = transform
        self.current.set_transform_static(transform, authority)

    def restart(self, now_ns: int | None) -> None:
        """Start a lap if any transform lies in the future, after a jump of the clock to `now_ns`; None: in any case."""
        if now_ns is None or any(newest_ns > now_ns + JUMP_BACK_NS for newest_ns in self._newest_ns.values()):
            self._start_lap(now_ns)

    def _start_lap(self, start_ns: int | None) -> None:
        self._start_ns, self._end_ns = start_ns, max(self._newest_ns.values(), default=0)
        self._newest_ns.clear()
        buffer = self._make_buffer()
        for transform in self._static.values():
            buffer.set_transform_static(transform, '')
        self._previous, self.current, self.since_s = self.current, buffer, time.monotonic()

    def _jumps_too_often(self) -> bool:
        return len(self._jumps_s) == MAX_JUMPS and time.monotonic() - self._jumps_s[0] < JUMP_WINDOW_S


class TransformLookup:
    """Looks up the pose of a camera in a frame, from /tf and /tf_static.

    Args:
        node: subscribes.
    """

    def __init__(self, node: Node) -> None:
        from tf2_ros import Buffer, TransformListener

        # Without the node: its clock is not the only one that jumps, and it would log every jump a second time.
        self._laps = LapBuffers(Buffer)
        self._listener = TransformListener(self._laps, node)

    def buffer_of(self, header: Header) -> Any:
        """Return the buffer of transforms for an image that arrives now; later, those may be of another lap."""
        return self._laps.of(read_stamp_ns(header.stamp))

    def pose(self, frame_id: str, header: Header, buffer: Any, timeout_s: float) -> Matrix:
        """Return the pose (4, 4) of the frame of the header in another frame, at its stamp; does not wait.

        Args:
            frame_id: the other frame.
            header: of an image.
            buffer: from `buffer_of`, when the image arrived.
            timeout_s: time that the caller waits for a transform that may come.

        Raises:
            MissingTransformError: there is no transform.
        """
        from tf2_ros import TransformException

        try:
            found = buffer.lookup_transform_core(frame_id, header.frame_id, Time.from_msg(header.stamp))
        except ValueError as error:  # negative
            raise MissingTransformError(f'no transform at the stamp of the image: {error}', may_come=False) from error
        except TransformException as error:
            raise self._explain(buffer, frame_id, header, timeout_s, error) from error
        return read_pose(found.transform.translation, found.transform.rotation)

    def restart(self, now_ns: int | None) -> None:
        """Start over after a jump of the clock to `now_ns`; None if another clock is used."""
        self._laps.restart(now_ns)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()

    def _explain(
        self, buffer: Any, frame_id: str, header: Header, timeout_s: float, error: Exception
    ) -> MissingTransformError:
        from tf2_ros import ConnectivityException, ExtrapolationException, LookupException

        start = f"no transform from '{header.frame_id}' to '{frame_id}'"
        is_starting = time.monotonic() - self._laps.since_s < DISCOVERY_S
        if isinstance(error, ExtrapolationException):
            return self._explain_time(start, _newest_s(buffer, frame_id, header.frame_id), header, timeout_s, error)
        if isinstance(error, ConnectivityException):
            said = (
                f'{start}: both frames exist, but no transform connects their trees ({error}); publish the one that is '
                'missing, and check with ros2 run tf2_tools view_frames'
            )
            return MissingTransformError(said, may_come=is_starting)
        if isinstance(error, LookupException):
            said = (
                f'{start}: no node has published such a frame on /tf or /tf_static ({error}); check its name and that '
                'its publisher runs, with ros2 run tf2_ros tf2_echo'
            )
            return MissingTransformError(said, may_come=is_starting)
        return MissingTransformError(f'{start} ({error}); check the frame ids', may_come=False)

    def _explain_time(
        self, start: str, newest_s: float | None, header: Header, timeout_s: float, error: Exception
    ) -> MissingTransformError:
        """Explain that there are transforms, the newest at `newest_s`, but none at the stamp of the image."""
        if newest_s is None:  # the frames are known, but no transform between them
            is_starting = time.monotonic() - self._laps.since_s < DISCOVERY_S
            said = f'{start}: none has arrived yet; check that its publisher runs'
            return MissingTransformError(said, may_come=is_starting)
        # Positive if the image is newer than all transforms.
        ahead_s = read_stamp_ns(header.stamp) / 1e9 - newest_s
        if abs(ahead_s) > max(CLOCKS_DIFFER_S, timeout_s + STOPPED_S):
            order = 'newer' if ahead_s > 0 else 'older'
            cause = '/tf has stopped' if ahead_s > 0 else 'the image is older than what tf2 keeps, 10 s'
            said = (
                f'{start} at the stamp of the image, which is {abs(ahead_s):.1f} s {order} than the newest transform: '
                f'{cause}, or the clocks of the camera and of /tf differ; check both clocks, and use_sim_time of all '
                'nodes'
            )
            return MissingTransformError(said, may_come=False)
        if ahead_s > 0:
            said = (
                f'{start} at the stamp of the image: the newest transform is {1e3 * ahead_s:.0f} ms older, and none '
                f'came within tf_timeout, {timeout_s:g} s; publish this transform more often or sooner, or raise '
                'tf_timeout'
            )
            return MissingTransformError(said, may_come=ahead_s < timeout_s + STOPPED_S)
        said = (
            f'{start} at the stamp of the image, which is from before the first transform ({error}); this ends once '
            '/tf has been received for as long as images are late'
        )
        return MissingTransformError(said, may_come=False)


def _newest_s(buffer: Any, frame_id: str, other_id: str) -> float | None:
    """Return the newest stamp at which there is a transform between two frames; None if there is none."""
    from tf2_ros import TransformException

    try:
        return float(buffer.get_latest_common_time(frame_id, other_id).nanoseconds) / 1e9
    except TransformException:
        return None


def check_tf2(parameter: str) -> None:
    """Check that tf2_ros is installed.

    Args:
        parameter: name of the parameter that needs it.

    Raises:
        ConfigError: it is not.
    """
    if find_spec('tf2_ros') is None:
        raise ConfigError(
            f'{parameter} needs tf2_ros, which is not installed; install it with ROS (apt install '
            f'ros-$ROS_DISTRO-tf2-ros-py, it is not on PyPI), or leave {parameter} empty'
        )
