"""`RerunSink`: logs images, results and point clouds to Rerun (rerun.io).

    camera            the newest image
    result            labels and colors of the instances of the newest result
    result/image      the image of this result, with masks and boxes
    result/space      points and 3D boxes in the optical frame, or in target_frame of the node
    result/text       instruction, text of the model, and status
    latency_ms        from the arrival of an image at the node to the publication of its result

Everything is logged on the timeline `capture`, at the stamp of its image.
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
from instructsam_ros.messages.frame import read_frame
from instructsam_ros.messages.image import read_pixels
from instructsam_ros.messages.point_cloud2 import read_points
from instructsam_ros.messages.segmentation import make_label_image, read_segmentation
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Instance, Segmentation

APPLICATION = 'instructsam'
TIMELINE = 'capture'
WEB_PORT = 9090
JPEG_QUALITY = 90
FLUSH_TIMEOUT_S = 5.0
STATUS_TEXT = {
    Segmentation.OK: '',
    Segmentation.NO_TARGET: 'nothing found',
    Segmentation.FAILED: 'failed',
    Segmentation.WITHDRAWN: 'withdrawn',
}
CLOUD_OPACITY = 0.5
"""Opacity of the color of an instance over the color of its points."""


def load_rerun() -> ModuleType:
    """Import the Rerun SDK.

    Raises:
        ConfigError: Rerun is not installed.
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
    """A Rerun recording with one output: a file, a viewer, or a web server. Not thread-safe.

    Attributes:
        address: URL for browsers; empty unless `serve` was called.

    Raises:
        ConfigError: Rerun is not installed.
    """

    def __init__(self) -> None:
        self.address = ''
        self._rerun = load_rerun()
        self._stream = self._rerun.RecordingStream(APPLICATION)
        self._colors_rgb = np.zeros((1, 3), dtype=np.uint8)
        # The 3D view is created with the first point cloud or 3D box.
        self._has_space = False
        self._image_frame_id = ''

    def save(self, file: Path) -> None:
        """Write to a file.

        Raises:
            ConfigError: the file cannot be written.
        """
        try:
            self._stream.save(file, default_blueprint=self._layout())
        except RuntimeError as error:
            raise ConfigError(f'--save: cannot write {file}: {error}') from error

    def connect(self, address: str) -> None:
        """Display in a running viewer at HOST:PORT or a URL of Rerun.

        Raises:
            ConfigError: the address has another format.
        """
        url = address if '://' in address else f'rerun+http://{address}/proxy'
        try:
            self._stream.connect_grpc(url, default_blueprint=self._layout())
        except RuntimeError as error:
            raise ConfigError(f"--connect: expected HOST:PORT or a URL of Rerun, got '{address}': {error}") from error

    def spawn(self) -> None:
        """Display in a new window.

        Raises:
            ConfigError: the viewer cannot be started.
        """
        installed = Path(sys.executable).with_name('rerun')  # found also if the environment is not activated
        executable = str(installed) if installed.is_file() else None
        try:
            self._rerun.spawn(executable_path=executable, recording=self._stream, default_blueprint=self._layout())
        except RuntimeError as error:
            raise ConfigError(f'cannot open a window ({error}); without a desktop use --web or --save') from error

    def serve(self, web_port: int) -> None:
        """Serve a web viewer at `address`.

        Raises:
            ConfigError: a port is in use.
        """
        try:
            url = self._stream.serve_grpc(grpc_port=web_port + 1, default_blueprint=self._layout())
            self._rerun.serve_web_viewer(web_port=web_port, open_browser=False)
        except RuntimeError as error:
            raise ConfigError(f'--web: cannot serve on ports {web_port} and {web_port + 1}: {error}') from error
        self.address = f'http://127.0.0.1:{web_port}?url={url}'

    def log_camera(self, message: Image | CompressedImage) -> None:
        """Log an image of the camera.

        Raises:
            FrameError: the image cannot be read.
        """
        self._set_time(message)
        self._stream.log('camera', self._encoded_image(message))

    def log_result(self, result: Segmentation, image: Image | CompressedImage | None) -> None:
        """Log a result and its image, if available.

        Raises:
            FrameError: the image cannot be read.
            ValueError: the fields of the result are inconsistent.
        """
        self._set_time(result)
        self._image_frame_id = result.header.frame_id
        self._stream.log('result/text', self._rerun.TextDocument(_text(result)))
        self._stream.log('latency_ms', self._rerun.Scalars(1e3 * result.latency))
        names = [_name(instance) for instance in result.instances]
        self._log_names(names)
        if image is None:
            # Otherwise the masks would be displayed over the image of an earlier result.
            self._stream.log('result/image', self._rerun.Clear(recursive=False))
        else:
            self._stream.log('result/image', self._encoded_image(image))
        self._log_masks(result)
        self._log_boxes(result, names)
        self._log_boxes_3d(result, names)

    def log_cloud(self, message: PointCloud2) -> None:
        """Log a point cloud; the points of instances are tinted in the color of the instance.

        Raises:
            FrameError: the cloud cannot be read.
        """
        self._set_time(message)
        # (N, 3), (N, 3) and (N,).
        position_m, points_rgb, labels = read_points(message)
        # Labels can belong to a newer result than the colors; clip them to the known ones.
        instance_rgb = self._colors_rgb[np.minimum(labels, len(self._colors_rgb) - 1)]
        tinted = cv2.addWeighted(points_rgb, 1 - CLOUD_OPACITY, instance_rgb, CLOUD_OPACITY, 0)
        colors = np.where(labels[:, None] > 0, tinted.reshape(-1, 3), points_rgb) if len(labels) else points_rgb
        self._create_space(message.header.frame_id)
        self._stream.log('result/space/points', self._rerun.Points3D(position_m, colors=colors, class_ids=labels))

    def flush(self) -> None:
        """Wait until all data is sent.

        Raises:
            TimeoutError: the viewer has not received the data within `FLUSH_TIMEOUT_S`.
        """
        try:
            self._stream.flush(timeout_sec=FLUSH_TIMEOUT_S)
        except RuntimeError as error:
            raise TimeoutError(f'the viewer does not receive data: {error}') from error

    def close(self) -> None:
        """Finish the recording."""
        self._stream.disconnect()

    def _set_time(self, message: Any) -> None:
        # datetime64[ns], since a float would lose the nanoseconds.
        stamp_ns = read_stamp_ns(message.header.stamp)
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, 'ns'))

    def _encoded_image(self, message: Image | CompressedImage) -> Any:
        """The image as JPEG."""
        # The memory of a viewer is full after half a minute of raw images.
        image_rgb = read_frame(message).image_rgb
        bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return self._rerun.EncodedImage(contents=data.tobytes(), media_type='image/jpeg')

    def _log_names(self, names: list[str]) -> None:
        """Log names and colors of the labels 1, 2, ..., which masks, boxes and points share."""
        # (1 + N, 3): row k is the color of label k, row 0 is unused.
        self._colors_rgb = np.array([(0, 0, 0), *map(color_rgb, range(len(names)))], dtype=np.uint8)
        classes = [(label, name, (*color_rgb(label - 1), 255)) for label, name in enumerate(names, start=1)]
        self._stream.log('result', self._rerun.AnnotationContext([(0, '', (0, 0, 0, 0)), *classes]))

    def _log_masks(self, result: Segmentation) -> None:
        if result.status == Segmentation.FAILED:
            self._stream.log('result/image/masks', self._rerun.Clear(recursive=False))
            return
        labels = make_label_image(read_segmentation(result), result.header)
        pixels = read_pixels(labels, ('mono16',), 'a label image')
        self._stream.log('result/image/masks', self._rerun.SegmentationImage(pixels))

    def _log_boxes(self, result: Segmentation, names: list[str]) -> None:
        boxes = [instance.box for instance in result.instances]
        left_top = np.array([(box.x_offset, box.y_offset) for box in boxes]).reshape(-1, 2)
        size_wh = np.array([(box.width, box.height) for box in boxes]).reshape(-1, 2)
        labels = range(1, len(boxes) + 1)
        self._stream.log(
            'result/image/boxes',
            self._rerun.Boxes2D(mins=left_top, sizes=size_wh, labels=names, class_ids=list(labels)),
        )

    def _log_boxes_3d(self, result: Segmentation, names: list[str]) -> None:
        # Instances without a 3D box have size 0.
        known = [index for index, instance in enumerate(result.instances) if _vector(instance.size).any()]
        if known:
            self._create_space(result.geometry_frame_id)
        if not self._has_space:
            return
        instances = [result.instances[index] for index in known]
        rotations = [instance.pose.orientation for instance in instances]
        self._stream.log(
            'result/space/boxes',
            self._rerun.Boxes3D(
                centers=np.array([_vector(instance.pose.position) for instance in instances]).reshape(-1, 3),
                sizes=np.array([_vector(instance.size) for instance in instances]).reshape(-1, 3),
                quaternions=np.array([(q.x, q.y, q.z, q.w) for q in rotations]).reshape(-1, 4),
                labels=[names[index] for index in known],
                class_ids=[index + 1 for index in known],
            ),
        )

    def _create_space(self, frame_id: str) -> None:
        """Add the 3D view of a frame to the layout, unless it is there."""
        if self._has_space:
            return
        self._has_space = True
        # REP-103: an optical frame has x right and y down, all others have z up.
        axes = self._rerun.ViewCoordinates
        is_optical = frame_id in ('', self._image_frame_id) or not self._image_frame_id
        self._stream.log('result/space', axes.RDF if is_optical else axes.RIGHT_HAND_Z_UP, static=True)
        self._stream.send_blueprint(self._layout())

    def _layout(self) -> Any:
        blueprint = self._rerun.blueprint
        space = [blueprint.Spatial3DView(origin='result/space', name='space')] if self._has_space else []
        return blueprint.Blueprint(
            blueprint.Horizontal(
                blueprint.Spatial2DView(origin='result/image', name='result'),
                blueprint.Vertical(
                    blueprint.Spatial2DView(origin='camera', name='camera'),
                    *space,
                    blueprint.TextDocumentView(origin='result/text', name='text'),
                    blueprint.TimeSeriesView(origin='latency_ms', name='latency, ms'),
                ),
                column_shares=[2, 1],
            ),
            blueprint.TimePanel(timeline=TIMELINE, state='collapsed', play_state='following'),
            collapse_panels=True,
        )


def _name(instance: Instance) -> str:
    track_id = f' #{instance.id}' if instance.id else ''
    return f'{instance.label}{track_id} {instance.score:.2f}'


def _text(result: Segmentation) -> str:
    """Instruction, text of the model and status, one paragraph each."""
    status = STATUS_TEXT.get(result.status, '') or f'{len(result.instances)} found'
    reason = f': {result.message}' if result.message else ''
    return '\n\n'.join(filter(None, (result.instruction, result.text, status + reason)))


def _vector(message: Any) -> NDArray[np.float64]:
    return np.array([message.x, message.y, message.z])
