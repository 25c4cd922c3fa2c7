"""Results of the fake segmenter with depth, for tests of messages and topics."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from std_msgs.msg import Header

from instructsam_model import Instruction
from instructsam_ros.depth3d.geometry import locate
from instructsam_ros.depth3d.oriented_box import fit_principal
from instructsam_ros.inference.requests import CapturedImage, InferenceResult
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.frame import read_frame
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.stamp import make_stamp
from tests.support.fake_segmenter import COLORS_RGB, FakeSegmenter

CAMERA = CameraModel(np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), (64, 48))
POSE = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0.1], [0, -1, 0, 0.8], [0, 0, 0, 1]])
"""Pose of an optical frame that looks along x of a base."""

_stamps = itertools.count(1)


def make_result(*colors: str, text: str = '', camera_pose: Matrix | None = None) -> InferenceResult:
    """A result about an image of 64x48 with a block of each color at 1 m; ids count from 1.

    Args:
        *colors: of the blocks.
        text: the instruction; empty for one that finds all of them.
        camera_pose: see `Geometry3D`.
    """
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    for place, color in enumerate(colors):
        pixels[10:20, 5 + 20 * place : 15 + 20 * place] = COLORS_RGB[color]
    header = Header(stamp=make_stamp(10**9 * next(_stamps)), frame_id='camera')
    capture = CapturedImage(make_image(pixels, 'rgb8', header))
    capture.frame = read_frame(capture.message)
    instruction = Instruction(text or ' '.join(colors))
    segmentation = FakeSegmenter().segment(capture.frame, instruction)
    instances = tuple(replace(each, id=str(number)) for number, each in enumerate(segmentation.instances, start=1))
    segmentation = replace(segmentation, instances=instances)
    geometry = locate(segmentation, np.ones((48, 64), dtype=np.float32), CAMERA, fit_principal)
    geometry = replace(geometry, camera_pose=camera_pose)
    return InferenceResult(instruction, capture, segmentation, geometry=geometry)
