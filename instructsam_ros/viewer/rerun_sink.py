"""`RerunSink`: what the node sees and answers, in Rerun (rerun.io), which draws it.

    camera                  the newest picture
    answer                  what the instances of the newest answer are called, and their colors
    answer/picture          the picture that it is about, with its masks and boxes
    answer/space            points and 3D boxes, in the optical frame
    answer/text             instruction, answer, and what became of it
    latency_ms              from the arrival of a picture at the node to its answer

All of it lies on the timeline `capture`, at the stamp of the picture that it is about.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from instructsam_model import ConfigError
from instructsam_model.draw import color_rgb
from instructsam_ros.messages import convert
from instructsam_ros.messages.point_cloud import read_points
from instructsam_ros.msg import Instance, Segmentation

APPLICATION = 'instructsam'
TIMELINE = 'capture'
WEB_PORT = 9090
JPEG_QUALITY = 90
FLUSH_S = 5.0
STATUS = {Segmentation.OK: '', Segmentation.NO_TARGET: 'nothing found', Segmentation.FAILED: 'failed'}
CLOUD_OPACITY = 0.5
"""Of an instance's color over the points' own."""


def load_rerun() -> ModuleType:
    """The Rerun SDK.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import rerun.blueprint
    except ImportError as error:
        raise ConfigError(
            f"Rerun cannot be imported ({error}); install it with pip install 'rerun-sdk>=0.41', "
            'the extra view of this package'
        ) from error
    return rerun


class RerunSink:
    """A recording that goes to one place, and what is written to it. For one thread.

    Attributes:
        address: for browsers; empty when it is not served.

    Raises:
        ConfigError: Rerun is not installed.
    """

    def __init__(self) -> None:
        self.address = ''
        self._rerun = load_rerun()
        self._stream = self._rerun.RecordingStream(APPLICATION)
        self._colors_rgb = np.zeros((1, 3), dtype=np.uint8)
        self._has_space = False

    def save(self, file: Path) -> None:
        """Write to a file.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            self._stream.save(file, default_blueprint=self._layout())
        except RuntimeError as error:
            raise ConfigError(f'--save: cannot write {file}: {error}') from error

    def connect(self, address: str) -> None:
        """Show it in a viewer that runs elsewhere: HOST:PORT, or a URL of Rerun.

        Raises:
            ConfigError: the address is neither.
        """
        url = address if '://' in address else f'rerun+http://{address}/proxy'
        try:
            self._stream.connect_grpc(url, default_blueprint=self._layout())
        except RuntimeError as error:
            raise ConfigError(f"--connect: expected HOST:PORT or a URL of Rerun, got '{address}': {error}") from error

    def spawn(self) -> None:
        """Show it in a window.

        Raises:
            ConfigError: the viewer cannot be started.
        """
        installed = Path(sys.executable).with_name('rerun')  # in an environment that need not be activated
        executable = str(installed) if installed.is_file() else None
        try:
            self._rerun.spawn(executable_path=executable, recording=self._stream, default_blueprint=self._layout())
        except RuntimeError as error:
            raise ConfigError(f'cannot open a window ({error}); without a desktop use --web or --save') from error

    def serve(self, web_port: int) -> None:
        """Show it to browsers, at `address`.

        Raises:
            ConfigError: the port is in use.
        """
        try:
            url = self._stream.serve_grpc(grpc_port=web_port + 1, default_blueprint=self._layout())
            self._rerun.serve_web_viewer(web_port=web_port, open_browser=False)
        except RuntimeError as error:
            raise ConfigError(f'--web: cannot serve on ports {web_port} and {web_port + 1}: {error}') from error
        self.address = f'http://127.0.0.1:{web_port}?url={url}'

    def log_camera(self, message: Image | CompressedImage) -> None:
        """The newest picture.

        Raises:
            FrameError: it cannot be read.
        """
        self._set_time(message)
        self._stream.log('camera', self._picture(message))

    def log_answer(self, answer: Segmentation, picture: Image | CompressedImage | None) -> None:
        """An answer, and the picture that it is about, if there is one.

        Raises:
            FrameError: the picture cannot be read.
            ValueError: the answer contradicts itself.
        """
        self._set_time(answer)
        self._stream.log('answer/text', self._rerun.TextDocument(_text(answer)))
        self._stream.log('latency_ms', self._rerun.Scalars(1e3 * answer.latency))
        names = [_name(instance) for instance in answer.instances]
        self._log_names(names)
        if picture is None:  # else masks would lie over the picture of another answer
            self._stream.log('answer/picture', self._rerun.Clear(recursive=False))
        else:
            self._stream.log('answer/picture', self._picture(picture))
        self._log_masks(answer)
        self._log_boxes(answer, names)
        self._log_boxes_3d(answer, names)

    def log_cloud(self, message: PointCloud2) -> None:
        """Points; those of instances take on their color.

        Raises:
            FrameError: the cloud cannot be read.
        """
        self._set_time(message)
        position_m, points_rgb, labels = read_points(message)
        instance_rgb = self._colors_rgb[np.minimum(labels, len(self._colors_rgb) - 1)]
        tinted = cv2.addWeighted(points_rgb, 1 - CLOUD_OPACITY, instance_rgb, CLOUD_OPACITY, 0)
        colors = np.where(labels[:, None] > 0, tinted.reshape(-1, 3), points_rgb) if len(labels) else points_rgb
        self._show_space()
        self._stream.log('answer/space/points', self._rerun.Points3D(position_m, colors=colors, class_ids=labels))

    def flush(self) -> None:
        """Wait until everything has left: a viewer that is slower than the camera must not fall behind more and more.

        Raises:
            TimeoutError: it has not within `FLUSH_S`, because nobody takes it.
        """
        try:
            self._stream.flush(timeout_sec=FLUSH_S)
        except RuntimeError as error:
            raise TimeoutError(f'the viewer takes nothing: {error}') from error

    def close(self) -> None:
        """Finish the recording."""
        self._stream.disconnect()

    def _set_time(self, message: Any) -> None:
        stamp_ns = convert.stamp_ns(message.header.stamp)
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, 'ns'))

    def _picture(self, message: Image | CompressedImage) -> Any:
        """As JPEG, since half a minute of a raw camera is as much as viewers keep."""
        if isinstance(message, CompressedImage):
            image_rgb = convert.read_compressed(message)
        else:
            image_rgb = convert.read_image(message)
        bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return self._rerun.EncodedImage(contents=data.tobytes(), media_type='image/jpeg')

    def _log_names(self, names: list[str]) -> None:
        """What the labels 1, 2, ... of this answer mean, for masks, boxes and points alike."""
        self._colors_rgb = np.array([(0, 0, 0), *map(color_rgb, range(len(names)))], dtype=np.uint8)
        classes = [(label, name, (*color_rgb(label - 1), 255)) for label, name in enumerate(names, start=1)]
        self._stream.log('answer', self._rerun.AnnotationContext([(0, '', (0, 0, 0, 0)), *classes]))

    def _log_masks(self, answer: Segmentation) -> None:
        if answer.status == Segmentation.FAILED:
            self._stream.log('answer/picture/masks', self._rerun.Clear(recursive=False))
            return
        labels = convert.make_labels(convert.read_segmentation(answer), answer.header)
        pixels = convert.read_pixels(labels, ('mono16',), 'a label image')
        self._stream.log('answer/picture/masks', self._rerun.SegmentationImage(pixels))

    def _log_boxes(self, answer: Segmentation, names: list[str]) -> None:
        boxes = [instance.box for instance in answer.instances]
        left_top = np.array([(box.x_offset, box.y_offset) for box in boxes]).reshape(-1, 2)
        size_wh = np.array([(box.width, box.height) for box in boxes]).reshape(-1, 2)
        labels = range(1, len(boxes) + 1)
        self._stream.log(
            'answer/picture/boxes',
            self._rerun.Boxes2D(mins=left_top, sizes=size_wh, labels=names, class_ids=list(labels)),
        )

    def _log_boxes_3d(self, answer: Segmentation, names: list[str]) -> None:
        known = [index for index, instance in enumerate(answer.instances) if _vector(instance.size).any()]
        if known:
            self._show_space()
        if not self._has_space:
            return
        instances = [answer.instances[index] for index in known]
        turns = [instance.pose.orientation for instance in instances]
        self._stream.log(
            'answer/space/boxes',
            self._rerun.Boxes3D(
                centers=np.array([_vector(instance.pose.position) for instance in instances]).reshape(-1, 3),
                sizes=np.array([_vector(instance.size) for instance in instances]).reshape(-1, 3),
                quaternions=np.array([(turn.x, turn.y, turn.z, turn.w) for turn in turns]).reshape(-1, 4),
                labels=[names[index] for index in known],
                class_ids=[index + 1 for index in known],
            ),
        )

    def _show_space(self) -> None:
        """Make room for the 3D view, once there is something in it."""
        if self._has_space:
            return
        self._has_space = True
        self._stream.log('answer/space', self._rerun.ViewCoordinates.RDF, static=True)  # REP-103's optical frame
        self._stream.send_blueprint(self._layout())

    def _layout(self) -> Any:
        blueprint = self._rerun.blueprint
        space = [blueprint.Spatial3DView(origin='answer/space', name='space')] if self._has_space else []
        return blueprint.Blueprint(
            blueprint.Horizontal(
                blueprint.Spatial2DView(origin='answer/picture', name='answer'),
                blueprint.Vertical(
                    blueprint.Spatial2DView(origin='camera', name='camera'),
                    *space,
                    blueprint.TextDocumentView(origin='answer/text', name='words'),
                    blueprint.TimeSeriesView(origin='latency_ms', name='latency, ms'),
                ),
                column_shares=[2, 1],
            ),
            blueprint.TimePanel(timeline=TIMELINE, state='collapsed', play_state='following'),
            collapse_panels=True,
        )


def _name(instance: Instance) -> str:
    tracked = f' #{instance.id}' if instance.id else ''
    return f'{instance.label}{tracked} {instance.score:.2f}'


def _text(answer: Segmentation) -> str:
    """Instruction, answer and outcome, a paragraph each."""
    outcome = STATUS.get(answer.status, '') or f'{len(answer.instances)} found'
    reason = f': {answer.message}' if answer.message else ''
    return '\n\n'.join(filter(None, (answer.instruction, answer.text, outcome + reason)))


def _vector(message: Any) -> NDArray[np.float64]:
    return np.array([message.x, message.y, message.z])
