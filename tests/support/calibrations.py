"""Calibrations of real cameras, as their drivers and owners have published them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, RegionOfInterest

REALSENSE_D405 = {
    'size_wh': (1280, 720),
    'model': 'plumb_bob',
    'd': (
        -0.051763564348220825,
        0.05643843859434128,
        -0.0008056543883867562,
        0.0013685669982805848,
        -0.018714165315032,
    ),
    'k': (653.8314819335938, 652.3585205078125, 653.0682373046875, 361.8429260253906),
}
"""github.com/realsenseai/librealsense/issues/13721. Here and below, k and p are fx, cx, fy, cy."""
BLACKFLY = {
    'size_wh': (1288, 964),
    'model': 'plumb_bob',
    'd': (-0.247334, 0.049363, 0.000464, 0.000510, 0.0),
    'k': (730.089675, 662.572253, 734.015999, 486.144443),
}
"""FLIR, a lens with strong distortion: github.com/RoboJackets/roboracing-software/pull/148."""
WEBCAM = {
    'size_wh': (640, 480),
    'model': 'plumb_bob',
    'd': (0.134462, -0.311908, 0.002304, 0.003083, 0.0),
    'k': (580.46715, 315.27153, 576.62721, 247.47257),
    'p': (587.73773, 316.77307, 585.66626, 248.29638),
}
"""From camera_calibration, with P unlike K: github.com/davi1055/project, cam_480p.yaml."""
AZURE_KINECT = {
    'size_wh': (1280, 720),
    'model': 'rational_polynomial',
    'd': (
        0.7799050211906433, -2.9802768230438232, 0.0007482637884095311, 5.6622509873704985e-05, 1.6997523307800293,
        0.6572195887565613, -2.811908721923828, 1.6302372217178345,
    ),
    'k': (604.8837280273438, 636.9334106445312, 604.9359130859375, 367.4653625488281),
}  # fmt: skip
"""github.com/microsoft/Azure_Kinect_ROS_Driver/issues/44."""
REALSENSE_T265 = {
    'size_wh': (848, 800),
    'model': 'equidistant',
    'd': (-0.0021744559053331614, 0.03760552033782005, -0.036404311656951904, 0.005936861969530582),
    'k': (285.6466979980469, 424.5740051269531, 286.68499755859375, 408.1993103027344),
}
"""A fisheye lens: github.com/realsenseai/realsense-ros/issues/679."""
PUBLISHED = {
    'RealSense D405': REALSENSE_D405,
    'Blackfly': BLACKFLY,
    'webcam': WEBCAM,
    'Azure Kinect': AZURE_KINECT,
    'RealSense T265': REALSENSE_T265,
}


def camera_matrix(fx: float, cx: float, fy: float, cy: float) -> np.ndarray:
    """The matrix (3, 3)."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def make_info(calibration: dict[str, Any], **changes: Any) -> CameraInfo:
    """The message of a calibration, with some of its fields changed."""
    width, height = calibration['size_wh']
    rectified = camera_matrix(*calibration.get('p', calibration['k']))
    fields = {
        'width': width,
        'height': height,
        'distortion_model': calibration['model'],
        'd': np.array(calibration['d']),
        'k': camera_matrix(*calibration['k']).ravel(),
        'r': np.eye(3).ravel(),
        'p': np.column_stack([rectified, np.zeros(3)]).ravel(),
    }
    return CameraInfo(**{**fields, **changes})


def window(x: int, y: int, width: int, height: int, *, do_rectify: bool = False) -> RegionOfInterest:
    """A region of interest."""
    return RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height, do_rectify=do_rectify)
