"""`RequestImages`: the images that a service request brings, and its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instructsam_model import RequestError
from instructsam_ros.inference.prompt import Prompt
from instructsam_ros.srv import Segment


@dataclass(frozen=True, eq=False)
class RequestImages:
    """Messages as they were received; nothing is decoded.

    Attributes:
        image: None for the next image of the camera.
        depth: of the image; None for that of the camera.
        camera_info: of the image; None for that of the camera.
        size_bytes: of all of them.
    """

    image: Image | CompressedImage | None
    depth: Image | CompressedImage | None
    camera_info: CameraInfo | None
    size_bytes: int


def read_images(request: Segment.Request) -> RequestImages:
    """Return the images of a request.

    Raises:
        RequestError: an image is given twice, or something that belongs to an image without it.
    """
    image = _one_of('image', request.image, request.compressed_image)
    depth = _one_of('depth', request.depth, request.compressed_depth)
    camera_info = request.camera_info if _is_calibration(request.camera_info) else None
    for name, given in (('depth', depth), ('camera_info', camera_info)):
        if image is None and given is not None:
            raise RequestError(
                f'{name}: expected only together with image or compressed_image, which it belongs to; without an image '
                'the node takes all three from the camera'
            )
    size_bytes = sum(len(given.data) for given in (image, depth) if given is not None)
    return RequestImages(image, depth, camera_info, size_bytes)


def read_prompt(request: Segment.Request) -> Prompt | None:
    """Return the prompt of a request; None without one.

    Raises:
        RequestError: a point is not finite, or the region is empty.
    """
    region = request.prompt_region
    # A client that sets nothing sends zeros.
    has_region = any((region.x_offset, region.y_offset, region.width, region.height))
    if not (request.prompt_points or has_region):
        return None
    x1, y1 = region.x_offset, region.y_offset
    return Prompt(
        tuple((point.x, point.y) for point in request.prompt_points),
        (x1, y1, x1 + region.width, y1 + region.height) if has_region else None,
    )


def _one_of(name: str, raw: Image, compressed: CompressedImage) -> Any:
    # Only a default message means that there is none; a broken one is an error.
    is_raw = bool(raw.data or raw.width or raw.height or raw.encoding)
    is_compressed = bool(compressed.data or compressed.format)
    if is_raw and is_compressed:
        raise RequestError(f'{name}: expected {name} or compressed_{name}, got both; send one of them')
    if is_raw:
        return raw
    return compressed if is_compressed else None


def _is_calibration(message: CameraInfo) -> bool:
    """Return whether a calibration is given.

    Raises:
        RequestError: it has no width and height.
    """
    if message.width and message.height:
        return True
    if message.width or message.height or np.any(message.k) or np.any(message.p):
        raise RequestError(
            f'camera_info: expected the width and height that it is for, got {message.width}x{message.height}; leave '
            'all of it 0 for the calibration of the camera'
        )
    return False
